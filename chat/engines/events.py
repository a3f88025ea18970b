"""Parses the events that an OpenAI-compatible server streams, and maps its errors to ours."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from chat.engines.engine import Piece, Token, TokenProbability
from chat.errors import (
    EngineBroken,
    EngineBusy,
    EngineDown,
    EngineError,
    EngineRefused,
    ModelMissing,
    TooLong,
    WrongModel,
)

UNSTORABLE = re.compile("[\\0\ud800-\udfff]")
"""NUL and halves of surrogate pairs, which no database stores."""
LEAST_LOGPROB = -9999.0
"""Stands for minus infinity, which JSON does not have."""


@dataclass
class StreamedCompletion:
    """One of the completions in a stream, as far as it is known."""

    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    pieces: int = 0


class EventReader:
    """Reads the events of one stream, and records how each of its `n` completions ends.

    With a `model`, a completion by any other raises WrongModel, and so does one that does not say whose it is.
    """

    def __init__(self, n: int = 1, model: str = "") -> None:
        self.model = model
        self.completions = [StreamedCompletion() for _ in range(n)]
        self.is_over = False

    def read(self, data: str) -> list[Piece]:
        if data == "[DONE]":
            self.is_over = True
            return []
        try:
            event = json.loads(data)
            if error := event.get("error"):
                raise failure_of(int(error.get("code") or 500), json.dumps(event), {})
            if self.model and event.get("model") != self.model:
                raise WrongModel(f"{event.get('model')!r} answered in the place of {self.model!r}")
            pieces = [self._read_choice(choice) for choice in event["choices"]]
            self._read_usage(event)
        except (ValueError, AttributeError, KeyError, IndexError, TypeError, RecursionError) as error:
            raise EngineBroken(data[:200]) from error
        return [piece for piece in pieces if piece.text or piece.tokens]

    def _read_choice(self, choice: dict[str, Any]) -> Piece:
        index = int(choice.get("index") or 0)
        if not 0 <= index < len(self.completions):
            raise IndexError(index)
        completion = self.completions[index]
        completion.finish_reason = choice.get("finish_reason") or completion.finish_reason
        text = choice["delta"].get("content") if "delta" in choice else choice["text"]
        completion.pieces += bool(text)
        return Piece(_storable(text or ""), tokens=_tokens(choice.get("logprobs")), index=index)

    def _read_usage(self, event: dict[str, Any]) -> None:
        """The last chunk of a completion has its token counts; a chunk without choices has those of all together."""
        usage = event.get("usage")
        if not usage:
            return
        choices = event["choices"]
        if choices or len(self.completions) == 1:
            completion = self.completions[int(choices[0].get("index") or 0) if choices else 0]
            completion.completion_tokens = int(usage.get("completion_tokens") or 0)
        for completion in self.completions:
            completion.prompt_tokens = int(usage.get("prompt_tokens") or 0)

    def endings(self) -> list[Piece]:
        """The last piece of each completion."""
        if not all(completion.finish_reason for completion in self.completions):
            raise EngineDown("the stream ended before the completion did")
        return [
            Piece(
                "",
                "length" if completion.finish_reason == "length" else "stop",
                completion.prompt_tokens,
                completion.completion_tokens or completion.pieces,
                index=index,
            )
            for index, completion in enumerate(self.completions)
        ]


def _storable(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError("text is not a string")
    return UNSTORABLE.sub(lambda found: "" if found[0] == "\0" else "\ufffd", text)


def _tokens(logprobs: Any) -> tuple[Token, ...]:
    """In the format of chat completions, which llama.cpp also uses for plain ones, or in the old plain one."""
    if not logprobs:
        return ()
    if "content" in logprobs:
        return tuple(
            Token(
                **_choice(entry),
                top=tuple(TokenProbability(**_choice(other)) for other in entry.get("top_logprobs") or ()),
            )
            for entry in logprobs["content"] or ()
        )
    tops = logprobs.get("top_logprobs") or [{}] * len(logprobs["tokens"])
    return tuple(
        Token(
            _storable(text),
            _logprob(logprob),
            top=tuple(TokenProbability(_storable(t), _logprob(p)) for t, p in top.items()),
        )
        for text, logprob, top in zip(logprobs["tokens"], logprobs["token_logprobs"], tops, strict=True)
    )


def _choice(entry: dict[str, Any]) -> dict[str, Any]:
    number = entry.get("id")
    return {"text": _storable(entry["token"]), "logprob": _logprob(entry["logprob"]), "id": number}


def _logprob(value: Any) -> float:
    if math.isnan(value):
        raise ValueError("a log-probability that is not a number")
    return max(float(value), LEAST_LOGPROB)


def failure_of(status: int, body: str, headers: Any) -> EngineError | TooLong:
    """The error for what a server answered instead of a completion."""
    detail = f"HTTP {status}: {body[:300]}"
    if status in (400, 413) and re.search(r"context|too long|maximum.*length", body, re.IGNORECASE):
        return TooLong(detail)
    if status in (429, 503):
        after = headers.get("retry-after", "")
        return EngineBusy(detail, retry_after_s=float(after) if after.isdigit() else None)
    if status == 404:
        return ModelMissing(detail)
    if 400 <= status < 500:
        return EngineRefused(detail)
    return EngineDown(detail)
