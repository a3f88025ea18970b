"""Endpoint of `/v1/chat/completions`."""

from channels.db import database_sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.translation import gettext_noop as _

from api import model_names
from api.completions import chat, sse
from api.description.operations import operation
from api.endpoints import key_of, person_of, read
from api.schemas.chat import FLEX, ChatCompletion, ChatRequest
from chat.completions.streaming import CompletionSpec

EXAMPLE = {
    "model": "live",
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    "max_completion_tokens": 32,
}


@operation(
    _("Reply to a conversation"),
    tag=_("Completions"),
    description=_(
        "Returns the next message of a conversation. A request that does not fit the model's "
        "context is refused, not truncated. Messages and replies pass this site's guards; a "
        "reply that a guard stops ends with `content_filter`."
    ),
    request=ChatRequest,
    request_example=EXAMPLE,
    answer=ChatCompletion,
    fails=(404, 503),
    produces=("application/json", "text/event-stream"),
)
async def chat_completions(request: HttpRequest) -> HttpResponseBase:
    asked = read(request, ChatRequest)
    named = await database_sync_to_async(model_names.resolve)(person_of(request), asked.model)
    max_tokens = asked.max_completion_tokens or asked.max_tokens or settings.CHAT_MAX_COMPLETION_TOKENS
    question = CompletionSpec(
        person=person_of(request),
        key=key_of(request),
        policy=named.policy,
        turns=asked.turns,
        parameters=asked.parameters(max_tokens, (asked.top_logprobs or 0) if asked.logprobs else None),
        n=asked.n,
        is_batch=asked.n > 1 or asked.service_tier == FLEX,
        is_read=asked.stream,
        names=[named.name],
        shrinks=asked.max_completion_tokens is None and asked.max_tokens is None,
    )
    if asked.stream:
        return await sse.stream(chat.chunks(asked, question))
    return JsonResponse(await chat.complete(asked, question))
