"""Collects the choices of one prompt from an engine's stream, and the fields that every completion object has."""

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
class UnscoredToken:
    """Text without a log-probability: a document's first token, or all of a prompt that cannot be scored here."""

    text: str


@dataclass
class CollectedChoice:
    texts: list[str] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    finish_reason: str = ""
    prompt_tokens: int = 0
    """As metered: an external server counts them itself."""
    completion_tokens: int = 0

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def mean_logprob(self) -> float:
        """The best of several has the highest log-probability per token, as OpenAI defines it."""
        logprobs = [token.logprob for token in self.tokens]
        return math.fsum(logprobs) / len(logprobs) if logprobs else -math.inf

    def add(self, piece: Piece) -> None:
        self.texts.append(piece.text)
        self.tokens += piece.tokens
        self.finish_reason = piece.finish_reason or self.finish_reason
        self.prompt_tokens = piece.prompt_tokens or self.prompt_tokens
        self.completion_tokens = piece.completion_tokens or self.completion_tokens


async def collect(pieces: AsyncGenerator[Piece, None], n: int) -> list[CollectedChoice]:
    """All choices, complete. Raises ChatError."""
    choices = [CollectedChoice() for _ in range(n)]
    async with aclosing(pieces):
        async for piece in pieces:
            choices[piece.index].add(piece)
    if not all(choice.finish_reason for choice in choices):
        raise EngineDown("the stream ended before the completion did")
    return choices


@dataclass(frozen=True)
class Envelope:
    """The fields that an answer, and every chunk of a stream, has beside its choices."""

    id: str
    kind: str
    """The value of `object`."""
    model: str
    """The name that the client sent."""
    created: int

    @classmethod
    def new(cls, prefix: str, kind: str, model: str) -> "Envelope":
        return cls(f"{prefix}-{secrets.token_hex(ID_CHARS)[:ID_CHARS]}", kind, model, int(time.time()))

    def wrap(self, policy: Policy, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
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
    """Identifies the weights: with the same fingerprint, the same seed gives the same completion."""
    return f"fp_{policy.manifest_sha256[:12] or policy.name}"


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
