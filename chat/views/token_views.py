"""What the page asks when somebody wants to look inside a reply."""

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST, require_safe

from chat.errors import ChatError, InspectorDown, NoProbabilities, WeightsGone
from chat.inspection import token_views
from chat.models import Reply, TokenView
from chat.views.requests import conversations_of


@require_POST
def look_inside(request: HttpRequest, reply_id: int) -> JsonResponse:
    """Asks for the probabilities of the reply's tokens, which are there at once or after a while."""
    reply = _own(request, reply_id)
    try:
        return JsonResponse(token_views.to_json(token_views.ask(reply)))
    except ChatError as error:
        return _refusal(error)


@require_safe
def inside_of(request: HttpRequest, reply_id: int) -> JsonResponse:
    """How far that is."""
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
    """A reply that its reader may see: of their own conversation, and not hidden."""
    replies = Reply.objects.select_related("policy", "message__conversation").filter(message__hidden_at=None)
    return get_object_or_404(replies, pk=reply_id, message__conversation__in=conversations_of(request))


def _refusal(error: ChatError) -> JsonResponse:
    """No error of HTTP: that a look failed is what was asked about."""
    return JsonResponse(
        {
            "state": "failed",
            "code": error.code,
            "message": str(error.message),
            "retryable": error.is_retryable,
            "retry_after_s": error.retry_after_s,
        }
    )
