"""Pages of the person's own account: settings, export of their data, deleting the account and reopening it."""

import tempfile
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import consents, erasure, notices, takeout
from accounts.forms import too_many_attempts
from accounts.requests import person
from accounts.throttle import Attempts

SPOOLED_BYTES = 16 * 2**20


class LeaveForm(forms.Form):
    """Asks for the password again, so that nobody at an unlocked screen deletes the account."""

    retry_after_s = 0
    password = forms.CharField(
        label=gettext_lazy("Your password"),
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.person = person(request)
        self.attempts = Attempts(self.person.username, str(request.META.get("REMOTE_ADDR", "")))

    def clean_password(self) -> str:
        self.retry_after_s = self.attempts.retry_after_s()
        if self.retry_after_s:
            raise ValidationError(too_many_attempts(self.retry_after_s), code="throttled")
        password = str(self.cleaned_data["password"])
        if not self.person.check_password(password):
            self.attempts.add_failure()
            raise ValidationError(_("Wrong password. Nothing was changed."), code="wrong")
        self.attempts.forget()
        return password


@never_cache
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    owner = person(request)
    kinds = [(kind, notices.wants(owner, kind)) for kind in notices.kinds_for(owner)]
    context = {"notice_kinds": kinds, "consent": consents.of(owner)}
    return render(request, "accounts/account.html", context)


@never_cache
@require_safe
def my_data(request: HttpRequest) -> HttpResponse:
    """Everything that the site stores about the person, as a zip."""
    owner = person(request)
    with tempfile.SpooledTemporaryFile(SPOOLED_BYTES) as file:
        takeout.write(owner, file)
        file.seek(0)
        content = file.read()
    name = f"chamsae-{owner.username}-{timezone.localdate():%Y-%m-%d}.zip"
    disposition = content_disposition_header(True, name) or "attachment"
    return HttpResponse(content, content_type="application/zip", headers={"Content-Disposition": disposition})


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def delete_account(request: HttpRequest) -> HttpResponse:
    """Says what will be deleted and what stays; a POST with the password closes the account."""
    leaving = person(request)
    form = LeaveForm(request, request.POST if request.method == "POST" else None)
    problem, status = "", 200
    if request.method == "POST" and form.is_valid():
        try:
            erasure.leave(leaving)
        except erasure.LastAdmin:
            problem, status = _("You are the only admin. Make somebody else an admin first."), 409
        else:
            logout(request)
            due = date_format(timezone.localtime(leaving.deletion_due_at), "DATETIME_FORMAT")
            said = _("Your account is closed and will be deleted on %(at)s. Until then, you can sign in to keep it.")
            messages.success(request, said % {"at": due})
            return redirect("sign_in")
    elif request.method == "POST":
        status = 429 if form.retry_after_s else 400
    context = {"form": form, "problem": problem, "days": erasure.UNDO.days}
    response = render(request, "accounts/delete_account.html", context, status=status)
    if form.retry_after_s:
        response["Retry-After"] = str(form.retry_after_s)
    return response


@require_POST
def keep_account(request: HttpRequest) -> HttpResponse:
    staying = person(request)
    if staying.deletion_due_at is not None:
        erasure.stay(staying)
        messages.success(request, _("Your account will not be deleted."))
    return redirect("account")
