"""Server-sent events as OpenAI's clients read them: `data: ` with JSON on one line, `data: [DONE]` at the end."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import translation

from api.errors import ApiError, body, from_chat
from chat.errors import ChatError

DONE = b"data: [DONE]\n\n"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""The second tells nginx to pass on each event at once."""
Events = AsyncGenerator[Mapping[str, Any], None]


async def stream(events: Events) -> StreamingHttpResponse:
    """Waits for the first event, so that a failure before it is raised from here and answered with its own status.

    A client that disconnects cancels the generator where it waits.
    """
    first = await anext(events, None)
    return StreamingHttpResponse(
        _encoded(first, events), content_type="text/event-stream; charset=utf-8", headers=HEADERS
    )


async def _encoded(first: Mapping[str, Any] | None, events: Events) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        try:
            if first is not None:
                yield _event(first)
            async for following in events:
                yield _event(following)
        except (ApiError, ChatError) as error:  # too late for a status
            with translation.override("en"):
                yield _event(body(from_chat(error) if isinstance(error, ChatError) else error))
            return
    yield DONE


def _event(values: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(values).encode() + b"\n\n"
