"""Serves the token views of replies: requests one, and returns it when it is ready."""

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST, require_safe

from chat.errors import ChatError, InspectorDown, NoProbabilities, WeightsGone
from chat.inspection import token_views
from chat.models import Reply, TokenView
from chat.views.requests import conversations_of


@require_POST
def request_token_view(request: HttpRequest, reply_id: int) -> JsonResponse:
    """Requests the token view of the reply, and returns as much of it as is ready."""
    reply = _own(request, reply_id)
    try:
        return JsonResponse(token_views.to_json(token_views.ask(reply)))
    except ChatError as error:
        return _refusal(error)


@require_safe
def token_view(request: HttpRequest, reply_id: int) -> JsonResponse:
    """The state of a requested token view, with the tokens once they are ready."""
    reply = _own(request, reply_id)
    view = get_object_or_404(TokenView.objects.select_related("reply__message"), reply=reply)
    try:
        token_views.check(reply)
    except ChatError as error:
        return _refusal(error)
    if view.state == TokenView.State.FAILED:
        return _refusal(ERRORS.get(view.error, InspectorDown)())
    return JsonResponse(token_views.to_json(view))


ERRORS: dict[str, type[ChatError]] = {kind.code: kind for kind in (NoProbabilities, WeightsGone, InspectorDown)}


def _own(request: HttpRequest, reply_id: int) -> Reply:
    """A reply in one of the person's conversations that is not hidden."""
    replies = Reply.objects.select_related("policy", "message__conversation").filter(message__hidden_at=None)
    return get_object_or_404(replies, pk=reply_id, message__conversation__in=conversations_of(request))


def _refusal(error: ChatError) -> JsonResponse:
    """Status 200, since the state that was asked for is a failure."""
    return JsonResponse(
        {
            "state": "failed",
            "code": error.code,
            "message": str(error.message),
            "retryable": error.is_retryable,
            "retry_after_s": error.retry_after_s,
        }
    )
