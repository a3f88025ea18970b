"""The completions of one prompt as they come out of an engine, several side by side, and what is known of each."""

import math
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from chat.engines.engine import Piece, Token
from chat.errors import EngineDown
from chat.models import Policy

ID_CHARS = 29


@dataclass(frozen=True)
class First:
    """The first token of a document, or all of it where the weights are elsewhere: nobody knows how probable."""

    text: str


@dataclass
class Alternative:
    texts: list[str] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    finish_reason: str = ""
    prompt_tokens: int = 0
    """As they were metered: a server elsewhere counts them by itself."""
    completion_tokens: int = 0

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def mean_logprob(self) -> float:
        """By which the best of several is chosen, as OpenAI has it: the highest log-probability per token."""
        logprobs = [token.logprob for token in self.tokens]
        return math.fsum(logprobs) / len(logprobs) if logprobs else -math.inf

    def take(self, piece: Piece) -> None:
        self.texts.append(piece.text)
        self.tokens += piece.tokens
        self.finish_reason = piece.finish_reason or self.finish_reason
        self.prompt_tokens = piece.prompt_tokens or self.prompt_tokens
        self.completion_tokens = piece.completion_tokens or self.completion_tokens


async def collected(pieces: AsyncGenerator[Piece, None], n: int) -> list[Alternative]:
    """All of them, to their ends. Raises ChatError."""
    alternatives = [Alternative() for _ in range(n)]
    async with aclosing(pieces):
        async for piece in pieces:
            alternatives[piece.index].take(piece)
    if not all(alternative.finish_reason for alternative in alternatives):
        raise EngineDown("the stream ended before the completion did")
    return alternatives


@dataclass(frozen=True)
class Head:
    """What stands in an answer, and in every chunk of a stream, before its choices."""

    id: str
    kind: str
    """The value of `object`."""
    model: str
    """By the name that was asked for."""
    created: int

    @classmethod
    def new(cls, prefix: str, kind: str, model: str) -> "Head":
        return cls(f"{prefix}-{secrets.token_hex(ID_CHARS)[:ID_CHARS]}", kind, model, int(time.time()))

    def over(self, policy: Policy, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": self.kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": _fingerprint(policy),
            "choices": choices,
            **more,
        }


def _fingerprint(policy: Policy) -> str:
    """Of the weights: the same seed gives the same completion as long as it stays."""
    return f"fp_{policy.manifest_sha256[:12] or policy.name}"


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
