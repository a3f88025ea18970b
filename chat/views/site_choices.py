"""The page on which an admin changes the site's choices."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.models import AuditEntry
from accounts.requests import person
from chat import site_choices
from chat.forms import ChoicesForm

SHOWN_CHANGES = 10


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest) -> HttpResponse:
    form = ChoicesForm(request.POST if request.method == "POST" else None, instance=site_choices.get())
    if request.method == "POST" and form.is_valid():
        site_choices.change(person(request), **{name: form.cleaned_data[name] for name in site_choices.NAMES})
        messages.success(request, _("Saved. The new settings apply from now on."))
        return redirect("site_choices")
    changes = AuditEntry.objects.filter(verb="choices.change").select_related("actor")[:SHOWN_CHANGES]
    context = {"form": form, "changes": changes}
    return render(request, "chat/site_choices.html", context, status=400 if form.is_bound else 200)
