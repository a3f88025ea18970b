"""The interface of engines, which complete prompts for one policy; knows nothing of replies or the database."""

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from django.conf import settings

from chat.errors import BadParameters
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt

MAX_SEED = 2**32 - 2
"""llama.cpp reads 2**32 - 1 as "random"."""
MAX_STOPS, MAX_STOP_CHARS, MAX_TOP_LOGPROBS = 4, 100, 20


@dataclass(frozen=True)
class Parameters:
    """How a completion is sampled. Raises BadParameters for values out of range."""

    temperature: float = 0.7
    """0: always the most probable token."""
    top_p: float = 1.0
    max_completion_tokens: int = 512
    seed: int | None = None
    top_k: int = 0
    """Only the k most probable tokens; 0: all."""
    stop: tuple[str, ...] = ()
    """Strings before which the completion ends."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of a token that the completion has already; below 0 it is favoured."""
    frequency_penalty: float = 0.0
    """The same, for each time that it has it."""
    top_logprobs: int | None = None
    """Pieces have each token's log-probability, with so many alternatives; None: they do not."""

    def __post_init__(self) -> None:
        if isinstance(self.stop, list):  # as JSON has it
            object.__setattr__(self, "stop", tuple(self.stop))
        self._need(_is_real(self.temperature) and 0 <= self.temperature <= 2, "temperature", "from 0 to 2")
        self._need(_is_real(self.top_p) and 0 < self.top_p <= 1, "top_p", "above 0, at most 1")
        limit = self.max_completion_tokens
        self._need(_is_whole(limit) and 1 <= limit <= 1_000_000, "max_completion_tokens", "a number of tokens")
        seed_fits = self.seed is None or (_is_whole(self.seed) and 0 <= self.seed <= MAX_SEED)
        self._need(seed_fits, "seed", f"from 0 to {MAX_SEED}")
        self._need(_is_whole(self.top_k) and 0 <= self.top_k <= 1_000_000, "top_k", "a number of tokens")
        self._need(_are_stops(self.stop), "stop", f"at most {MAX_STOPS} strings of 1 to {MAX_STOP_CHARS} characters")
        for name in ("presence_penalty", "frequency_penalty"):
            self._need(_is_real(value := getattr(self, name)) and -2 <= value <= 2, name, "from -2 to 2")
        shown = self.top_logprobs
        fits = shown is None or (_is_whole(shown) and 0 <= shown <= MAX_TOP_LOGPROBS)
        self._need(fits, "top_logprobs", f"from 0 to {MAX_TOP_LOGPROBS}")

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


def _are_stops(stops: object) -> bool:
    return (
        isinstance(stops, tuple)
        and len(stops) <= MAX_STOPS
        and all(isinstance(stop, str) and 0 < len(stop) <= MAX_STOP_CHARS for stop in stops)
    )


@dataclass(frozen=True)
class TokenProbability:
    """A possible token with its natural log-probability at temperature 1."""

    text: str
    logprob: float
    id: int | None = None


@dataclass(frozen=True)
class Token(TokenProbability):
    """A generated token, with the most probable ones of its position."""

    top: tuple[TokenProbability, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Piece:
    """A part of a completion; the last has a finish reason (`stop` or `length`) and the counts."""

    text: str
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens: tuple[Token, ...] = ()
    """Only if log-probabilities were asked for, and as far as the server sends them; they may come before their text,
    which may be buffered (chat.completions.token_texts)."""
    index: int = 0
    """Which completion, if several of one prompt are generated together."""


@asynccontextmanager
async def _all_of(works: list[Coroutine[Any, Any, None]]) -> AsyncIterator[asyncio.Task[None]]:
    """One task that runs all of them and fails with the first failure; cancelled at the end with all of them."""

    async def together() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for work in works:
                    group.create_task(work)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    task = asyncio.create_task(together())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


class Engine(ABC):
    """Made for a policy, then started once, used for many requests at a time, and stopped."""

    is_embedded: ClassVar[bool] = False
    """Whether the talker has to start, watch and stop a process for it."""
    title: ClassVar[str] = ""
    """Its name on pages; empty: that of its class."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.url = ""
        self.pid: int | None = None

    @abstractmethod
    async def start(self, key: str) -> None:
        """Returns once it is ready; callers need `key`. Raises EngineError, BadPolicy."""

    @abstractmethod
    def stream(self, prompt: PolicyPrompt, parameters: Parameters) -> AsyncGenerator[Piece, None]:
        """The completion as it is generated. Closing the generator cancels it. Raises EngineError."""

    async def stream_many(self, prompt: PolicyPrompt, parameters: Parameters, n: int) -> AsyncGenerator[Piece, None]:
        """`n` completions of one prompt, each with its `Piece.index`; with a seed, completion k gets the seed plus k.

        Here each is requested by itself; engines whose server can read the prompt once for all of them do that.
        """
        pieces: asyncio.Queue[Piece] = asyncio.Queue(maxsize=64)

        async def ask(index: int) -> None:
            seed = None if parameters.seed is None else (parameters.seed + index) % (MAX_SEED + 1)
            async with aclosing(self.stream(prompt, replace(parameters, seed=seed))) as stream:
                async for piece in stream:
                    await pieces.put(replace(piece, index=index))

        async with _all_of([ask(index) for index in range(n)]) as asking:
            while not asking.done() or not pieces.empty():
                getting = asyncio.ensure_future(pieces.get())
                await asyncio.wait([getting, asking], return_when=asyncio.FIRST_COMPLETED)
                if getting.done():
                    yield getting.result()
                getting.cancel()
            await asking

    @abstractmethod
    async def is_healthy(self) -> bool:
        """Whether it answers within a few seconds."""

    @abstractmethod
    async def stop(self) -> None:
        """Stops it, with everything that is under way."""

    def attach(self, url: str, key: str) -> None:
        """Instead of `start`: uses an engine that another process started."""
        self.url = url

    def slots(self) -> int:
        """How many completions it generates at the same time."""
        return int(settings.CHAT_ENGINE_SLOTS)

    def is_running(self) -> bool:
        """False as soon as its process is known to have ended."""
        return True
