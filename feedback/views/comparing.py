"""Endpoints of comparisons side by side: choosing a reply, going on without a choice, and the person's setting."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.requests import person
from base.requests import wants_json
from chat.models import Pair, Reply
from chat.websocket.consumers import broadcast
from feedback.errors import FeedbackError
from feedback.judgements import comparisons
from feedback.models import Comparison
from feedback.views.refusals import refused

LONGEST_S = 86_400.0


def _own_pair(user: User, pair_id: int) -> Pair:
    """404 for another person's pair as for one that does not exist."""
    return get_object_or_404(
        Pair.objects.select_related("message", "left__message", "right__message", "left__policy", "right__policy"),
        pk=pair_id,
        message__conversation__owner=user,
        message__conversation__deleted_at__isnull=True,
    )


@require_POST
def choose(request: HttpRequest, pair_id: int) -> HttpResponse:
    """`choice`: left, right, tie or both_bad; `seconds` that it took."""
    user = person(request)
    pair = _own_pair(user, pair_id)
    choice = request.POST.get("choice", "")
    if choice not in Comparison.Choice.values:
        return refused("bad_choice", _("Choose left, right, tie or both bad."), 400)
    try:
        made = comparisons.compare(pair, user, choice, _seconds(request.POST.get("seconds", "")))
    except FeedbackError as error:
        return refused(error.code, str(error), 409)
    return _reveal(pair, pair.right if choice == Comparison.Choice.RIGHT else pair.left, made)


@require_POST
def give_up(request: HttpRequest, pair_id: int) -> HttpResponse:
    """`side`: left or right, whichever the conversation goes on with."""
    pair = _own_pair(person(request), pair_id)
    side = request.POST.get("side", "")
    if side not in ("left", "right"):
        return refused("bad_choice", _("Choose left or right."), 400)
    chosen = pair.left if side == "left" else pair.right
    try:
        comparisons.give_up(pair, chosen)
    except FeedbackError as error:
        return refused(error.code, str(error), 409)
    return _reveal(pair, chosen, None)


@require_POST
def side_by_side(request: HttpRequest) -> HttpResponse:
    """Whether the person wants to see two replies now and then."""
    user = person(request)
    user.sees_side_by_side = request.POST.get("is_on") == "on"
    user.save(update_fields=["sees_side_by_side"])
    if wants_json(request):
        return JsonResponse({"is_on": user.sees_side_by_side})
    messages.success(request, _("Your choice was saved."))
    return redirect("account")


def _reveal(pair: Pair, winner: Reply, made: Comparison | None) -> JsonResponse:
    """Sends which policies wrote the replies to this page and every other one of the conversation."""
    frame: dict[str, Any] = {
        "type": "pair.revealed",
        "id": pair.pk,
        "choice": made.choice if made else None,
        "discounted": made.discounted if made else "",
        "winner": winner.message_id,
        "left": _of_side(pair, "left"),
        "right": _of_side(pair, "right"),
    }
    broadcast(pair.message.conversation_id, frame)
    return JsonResponse(frame)


def _of_side(pair: Pair, side: str) -> dict[str, Any]:
    reply = getattr(pair, side)
    policy = {"name": reply.policy.name, "version": reply.policy.version} if reply.policy else None
    return {"reply": reply.pk, "message": reply.message_id, "policy": policy}


def _seconds(text: str) -> float:
    """How long the choice took, as the page says; 0 if that is invalid."""
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return found if 0 <= found <= LONGEST_S else 0.0
