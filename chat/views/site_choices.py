"""The page on which an admin changes the site's choices."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.models import AuditEntry
from accounts.requests import person
from chat import site_choices
from chat.choosing import log
from chat.choosing.source import source
from chat.engines.loading import HEARTBEAT_LIMIT
from chat.engines.servers.troubles import Trouble
from chat.forms import ChoicesForm
from chat.models import ModelServer, Policy

SHOWN_CHANGES = 10


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest) -> HttpResponse:
    form = ChoicesForm(request.POST if request.method == "POST" else None, instance=site_choices.get())
    if request.method == "POST" and form.is_valid():
        site_choices.change(person(request), **{name: form.cleaned_data[name] for name in site_choices.NAMES})
        messages.success(request, _("Saved. The new settings apply from now on."))
        return redirect("site_choices")
    changes = AuditEntry.objects.filter(verb="choices.change").select_related("actor")[:SHOWN_CHANGES]
    context = {
        "form": form,
        "changes": changes,
        "latency": log.latency(),
        "missing": _missing(),
        "servers": _servers(),
    }
    return render(request, "chat/site_choices.html", context, status=400 if form.is_bound else 200)


def _servers() -> list[dict[str, Any]]:
    """Each with whether a talker saw it lately; else nobody knows how it is now."""
    fresh = timezone.now() - HEARTBEAT_LIMIT
    return [
        {
            "row": server,
            "is_known": server.seen_at > fresh,
            "trouble": Trouble.read(server.error).text if server.error else "",
            "refusals": {name: Trouble.read(why).text for name, why in server.refusals.items()},
        }
        for server in ModelServer.objects.all()
    ]


def _missing() -> str:
    """What an admin has to know where the live policy has no reward model."""
    live = Policy.objects.filter(is_live=True).first()
    if live is not None and source().scorer_for(live) is not None:
        return ""
    if site_choices.get().rule_thresholds:
        return _("No reward model judges the live policy, and rules are guarded: its replies are not shown.")
    return _("No reward model judges the live policy, so replies are neither chosen nor guarded. A cycle trains one.")
