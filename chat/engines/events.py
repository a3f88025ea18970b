"""What an OpenAI-compatible server says in a completion's stream, and which error its refusals are."""

import json
import re
from typing import Any

from chat.engines.engine import Piece
from chat.errors import EngineBroken, EngineBusy, EngineDown, EngineError, EngineRefused, TooLong

UNSTORABLE = re.compile("[\\0\ud800-\udfff]")
"""NUL and halves of surrogate pairs: no database holds them."""


class EventReader:
    """Reads the events of one stream and remembers how it ends."""

    def __init__(self) -> None:
        self.finish_reason = ""
        self.prompt_tokens = self.completion_tokens = self.pieces = 0
        self.is_over = False

    def read(self, data: str) -> Piece | None:
        if data == "[DONE]":
            self.is_over = True
            return None
        try:
            event = json.loads(data)
            if error := event.get("error"):
                raise failure_of(int(error.get("code") or 500), json.dumps(event), {})
            text = self._read_event(event)
        except (ValueError, AttributeError, KeyError, IndexError, TypeError, RecursionError) as error:
            raise EngineBroken(data[:200]) from error
        self.pieces += bool(text)
        return Piece(text) if text else None

    def _read_event(self, event: dict[str, Any]) -> str:
        if usage := event.get("usage"):
            self.prompt_tokens = int(usage.get("prompt_tokens") or 0)
            self.completion_tokens = int(usage.get("completion_tokens") or 0)
        if not event["choices"]:
            return ""
        choice = event["choices"][0]
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        text = choice["delta"].get("content") if "delta" in choice else choice["text"]
        if not isinstance(text, str | None):
            raise TypeError("text is no string")
        return UNSTORABLE.sub(lambda found: "" if found[0] == "\0" else "\ufffd", text or "")

    def last(self) -> Piece:
        if not self.finish_reason:
            raise EngineDown("the stream ended before the completion did")
        reason = "length" if self.finish_reason == "length" else "stop"
        return Piece("", reason, self.prompt_tokens, self.completion_tokens or self.pieces)


def failure_of(status: int, body: str, headers: Any) -> EngineError | TooLong:
    """The error class for what a server answered instead of a completion."""
    detail = f"HTTP {status}: {body[:300]}"
    if status in (400, 413) and re.search(r"context|too long|maximum.*length", body, re.IGNORECASE):
        return TooLong(detail)
    if status in (429, 503):
        after = headers.get("retry-after", "")
        return EngineBusy(detail, retry_after_s=float(after) if after.isdigit() else None)
    if 400 <= status < 500:
        return EngineRefused(detail)
    return EngineDown(detail)
