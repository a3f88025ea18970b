"""Endpoints of the chat page: a thumb with reasons on a reply, and taking back a flag."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.requests import person
from base.requests import wants_json
from chat.models import Message
from feedback.errors import FeedbackError
from feedback.judgements import thumbs
from feedback.models import Thumb
from feedback.moderation import reports
from feedback.views.refusals import refused

IS_UP = {"up": True, "down": False}


def _own_reply(user: User, message_id: int) -> Message:
    """404 for another person's reply as for one that does not exist or that a moderator has hidden."""
    return get_object_or_404(
        Message.objects.select_related("conversation"),
        pk=message_id,
        role=Message.Role.ASSISTANT,
        hidden_at__isnull=True,
        conversation__owner=user,
        conversation__deleted_at__isnull=True,
    )


@require_POST
def thumb(request: HttpRequest, message_id: int) -> HttpResponse:
    """`thumb`: up, down or none; with `reason` (several) and `comment`."""
    user = person(request)
    message = _own_reply(user, message_id)
    choice = request.POST.get("thumb", "")
    if choice == "none":
        thumbs.take_back(message, user)
        return JsonResponse(_as_json(None))
    if choice not in IS_UP:
        return refused("bad_thumb", _("Choose thumbs up, thumbs down or none."), 400)
    try:
        reasons, comment = request.POST.getlist("reason"), request.POST.get("comment", "")
        given = thumbs.give(message, user, IS_UP[choice], reasons, comment)
    except FeedbackError as error:
        return refused(error.code, str(error), 400)
    return JsonResponse(_as_json(given))


@require_POST
def take_back_flag(request: HttpRequest, message_id: int, version_id: int) -> HttpResponse:
    user = person(request)
    message = _own_reply(user, message_id)
    reports.take_back_flag(user, message, version_id)
    if wants_json(request):
        return JsonResponse({"ok": True})
    return redirect("report_message", message_id)


def _as_json(given: Thumb | None) -> dict[str, object]:
    if given is None:
        return {"thumb": "none", "reasons": [], "comment": ""}
    return {"thumb": "up" if given.is_up else "down", "reasons": given.reasons, "comment": given.comment}
