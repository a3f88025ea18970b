"""One verb for the ticked items of the moderators' queue: asked again where it is severe, and told item by item."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.requests import person
from feedback.forms import BulkForm, QueueFilter
from feedback.moderation import bulk, consequences, items
from feedback.moderation.items import ItemKey


@require_POST
def moderate_many(request: HttpRequest) -> HttpResponse:
    form, search = BulkForm(request.POST), QueueFilter(request.GET)
    keys = _ticked(request)
    if not keys or not form.is_valid():
        wrong = _("Give a reason.") if keys else _("Tick the items first.")
        messages.error(request, wrong)
        return redirect(f"/moderation/?{search.query}")
    verb, reason = form.cleaned_data["verb"], form.cleaned_data["reason"]
    context = {"verb": consequences.VERBS[verb], "filters": search.query, "reason": reason, "keys": keys}
    if context["verb"].is_grave and "confirmed" not in request.POST:
        return render(request, "feedback/moderate_many.html", context)
    outcome = bulk.carry_out(verb, keys, person(request), reason)
    return render(request, "feedback/moderated_many.html", {**context, "outcome": outcome})


def _ticked(request: HttpRequest) -> list[ItemKey]:
    read = [items.read(given) for given in request.POST.getlist("item")[: bulk.MOST]]
    return [key for key in read if key is not None]
