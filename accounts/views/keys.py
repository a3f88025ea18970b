"""Pages of API keys: a person's own keys, and for admins everybody's."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts import keys
from accounts.models import ApiKey, User
from accounts.requests import person
from accounts.roles import Role
from base.requests import filters_of

KEYS_PER_PERSON = 50
KEYS_PER_PAGE = 50
SCOPE_WORDS: dict[str, str | Promise] = {
    "models": gettext_lazy("list models"),
    "completions": gettext_lazy("chat and complete text"),
    "files": gettext_lazy("upload and read files"),
    "fine_tuning": gettext_lazy("create own models"),
    "admin": gettext_lazy("read the usage and costs of the whole site"),
}


class KeyForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=60,
        help_text=gettext_lazy("What it is for, for example “notebook”. Usage and costs are shown under this name."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Permissions"), required=False, widget=forms.CheckboxSelectMultiple
    )
    requests_per_minute = forms.IntegerField(
        label=gettext_lazy("Requests per minute"), required=False, min_value=0, max_value=100_000
    )

    def __init__(self, owner: User, data: Any = None) -> None:
        super().__init__(data)
        self.label_suffix = ""
        self.owner = owner
        is_admin = owner.has_role(Role.ADMIN)
        scopes = self.fields["scopes"]
        assert isinstance(scopes, forms.MultipleChoiceField)
        scopes.choices = [(scope, SCOPE_WORDS[scope]) for scope in keys.SCOPES if scope != "admin" or is_admin]
        scopes.help_text = (
            _("Leave empty for full access, except to the usage of the whole site, which must be ticked.")
            if is_admin
            else _("Leave empty for full access.")
        )
        limit = self.fields["requests_per_minute"]
        limit.help_text = _(
            "Leave empty for the site default of %(number)d. With 0, every request is refused, so "
            "that you can test how your program handles it."
        )
        limit.help_text %= {"number": settings.API_REQUESTS_PER_MINUTE}

    def clean_name(self) -> str:
        """Refuses a name that is in use, so that reloading the page after making a key makes no second one."""
        name = str(self.cleaned_data["name"])
        live = self.owner.api_keys.filter(revoked_at=None)
        if live.filter(name=name).exists():
            raise ValidationError(_("You already have a key with this name. Choose another name."), code="taken")
        if live.count() >= KEYS_PER_PERSON:
            said = _("You already have %(number)d keys. Revoke one first.") % {"number": KEYS_PER_PERSON}
            raise ValidationError(said, code="too_many")
        return name


class OwnerFilter(forms.Form):
    owner = forms.CharField(label=gettext_lazy("Username"), required=False, max_length=150)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def own_keys(request: HttpRequest) -> HttpResponse:
    """The person's keys. A POST makes one; its response is the only page that ever shows the secret."""
    owner = person(request)
    form = KeyForm(owner, request.POST if request.method == "POST" else None)
    context: dict[str, Any] = {"base_url": request.build_absolute_uri("/v1")}
    status = 400 if form.is_bound else 200
    if form.is_bound and form.is_valid():
        context["made"], context["secret"] = keys.make(owner, **form.cleaned_data, actor=owner)
        form, status = KeyForm(owner), 201
    owned = _with_scope_labels(list(owner.api_keys.order_by("revoked_at", "-id")))
    return render(request, "accounts/keys.html", {**context, "form": form, "keys": owned}, status=status)


@never_cache
@require_safe
def all_keys(request: HttpRequest) -> HttpResponse:
    form = OwnerFilter(request.GET)
    form.label_suffix = ""
    found = ApiKey.objects.select_related("owner")
    if form.is_valid() and form.cleaned_data["owner"]:
        found = found.filter(owner__username__icontains=form.cleaned_data["owner"])
    page = Paginator(found, KEYS_PER_PAGE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "keys": _with_scope_labels(list(page)), "filters": filters_of(request)}
    return render(request, "accounts/all_keys.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def revoke_key(request: HttpRequest, key_id: int) -> HttpResponse:
    """Asks for confirmation; a POST revokes. People revoke their own keys, admins anybody's."""
    asking = person(request)
    key = get_object_or_404(ApiKey.objects.select_related("owner"), pk=key_id)
    if key.owner_id != asking.pk and not asking.has_role(Role.ADMIN):
        raise Http404
    back = "api_keys" if key.owner_id == asking.pk else "all_keys"
    if request.method == "POST":
        keys.revoke(key, actor=asking)
        messages.success(request, _("“%(name)s” was revoked.") % {"name": key.name})
        return redirect(back)
    return render(request, "accounts/revoke_key.html", {"key": key, "back": back})


def _with_scope_labels(found: list[ApiKey]) -> list[tuple[ApiKey, list[str | Promise]]]:
    """Each key with the labels of its scopes; none for a key without scopes."""
    return [(key, [SCOPE_WORDS.get(scope, scope) for scope in key.scopes]) for key in found]
