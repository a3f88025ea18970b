"""What an engine is: something that answers prompts for one policy. Knows nothing of replies or the database."""

import math
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from chat.errors import BadParameters
from chat.models import Policy
from chat.prompt import Prompt

MAX_SEED = 2**32 - 2
"""llama.cpp reads 2**32 - 1 as "random"."""


@dataclass(frozen=True)
class Parameters:
    """How a completion is sampled. Raises BadParameters on what no engine could mean."""

    temperature: float = 0.7
    """0: always the most probable token."""
    top_p: float = 1.0
    max_completion_tokens: int = 512
    seed: int | None = None

    def __post_init__(self) -> None:
        self._need(_is_real(self.temperature) and 0 <= self.temperature <= 2, "temperature", "from 0 to 2")
        self._need(_is_real(self.top_p) and 0 < self.top_p <= 1, "top_p", "above 0, at most 1")
        limit = self.max_completion_tokens
        self._need(_is_whole(limit) and 1 <= limit <= 1_000_000, "max_completion_tokens", "a number of tokens")
        seed_fits = self.seed is None or (_is_whole(self.seed) and 0 <= self.seed <= MAX_SEED)
        self._need(seed_fits, "seed", f"from 0 to {MAX_SEED}")

    def _need(self, holds: bool, name: str, wanted: str) -> None:
        if not holds:
            raise BadParameters(f"{name}={getattr(self, name)!r}: expected {wanted}")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Parameters":
        try:
            return cls(**values)
        except TypeError as error:
            raise BadParameters(str(error)) from error

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class Piece:
    """A part of a completion; the last has a finish reason (`stop` or `length`) and the counts."""

    text: str
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Engine(ABC):
    """Made for a policy, then started once, asked by many at a time, and stopped."""

    is_embedded: ClassVar[bool] = False
    """Whether the talker has to start, watch and end a process for it."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.url = ""
        self.pid: int | None = None

    @abstractmethod
    async def start(self, key: str) -> None:
        """Returns when prompts are answered; `key` is what callers must know. Raises EngineError or BadPolicy."""

    @abstractmethod
    def stream(self, prompt: Prompt, parameters: Parameters) -> AsyncGenerator[Piece, None]:
        """The completion as it is made. Closing the generator ends the work. Raises EngineError."""

    @abstractmethod
    async def is_healthy(self) -> bool:
        """Whether it answers now, within a few seconds."""

    @abstractmethod
    async def stop(self) -> None:
        """Ends it, and whatever it still does."""

    def attach(self, url: str, key: str) -> None:
        """Uses, instead of `start`, what another process started."""
        self.url = url

    def is_running(self) -> bool:
        """False as soon as its process is known to have ended."""
        return True
