"""Completes one prompt several times: gives way to people, and tries again where the engine failed.

What was under way when a person came, or the engine failed, goes on later from its own tokens, so that it comes to an
end on a busy site, too. Where that cannot be, or a seed was given, it is generated again.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

from asgiref.sync import sync_to_async

from chat.completions import beginnings
from chat.completions.beginnings import Beginning, Heard
from chat.completions.giving_way import BulkRoom, GaveWay
from chat.engines.engine import MAX_SEED, Engine, Parameters, Piece
from chat.engines.loading import attached, engine_for
from chat.errors import EngineBusy, EngineDown, EngineTimeout
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt
from chat.prompts.rendering import Renderer

TRIES = 4


@dataclass(frozen=True)
class Completed:
    text: str
    finish_reason: str
    """`stop` (the model ended) or `length`."""
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Wanted:
    """`n` completions of a prompt; completion k is sampled with `seed` + k."""

    prompt: PolicyPrompt
    parameters: Parameters
    seed: int
    n: int
    together: int
    """At most so many at a time."""
    on_completed: Callable[[], None]
    renderer: Renderer | None = None
    """Of the policy, by which a stopped completion can go on; None where it is to be generated again."""

    def goes_on(self, engine: Engine) -> bool:
        return self.renderer is not None and beginnings.can_go_on(engine, self.prompt, self.parameters)

    def seeded(self, completion: int) -> Parameters:
        return replace(self.parameters, seed=(self.seed + completion) % (MAX_SEED + 1))


@dataclass
class EngineInUse:
    policy: Policy
    engine: Engine
    is_own: bool
    """Started here, for the duration."""

    async def reattach(self, failed: Engine, pause_s: float) -> None:
        """After a pause, takes the engine that the talker may have started in the place of the failed one."""
        await asyncio.sleep(pause_s)
        if self.engine is failed and not self.is_own:
            self.engine = await sync_to_async(attached)(self.policy) or failed


@asynccontextmanager
async def engine_in_use(policy: Policy, engine: Engine | None) -> AsyncIterator[EngineInUse]:
    """The engine that is attached, or one of its own, which is started and stopped here."""
    is_own = engine is None
    if engine is None:
        engine = await asyncio.to_thread(engine_for, policy)
    if is_own:
        await engine.start(secrets.token_hex(32))
    in_use = EngineInUse(policy, engine, is_own)
    try:
        yield in_use
    finally:
        await in_use.engine.stop()


@dataclass
class _Progress:
    """Of the completions of one prompt, by their numbers."""

    done: dict[int, Completed] = field(default_factory=dict)
    begun: dict[int, Beginning] = field(default_factory=dict)
    """Those that were stopped and can go on."""

    def next_ones(self, n: int) -> range:
        """Missing completions that can be asked for together: their seeds follow each other, or it is a single one
        that goes on."""
        first = next(k for k in range(n) if k not in self.done)
        if first in self.begun:
            return range(first, first + 1)
        end = next((k for k in range(first, n) if k in self.done or k in self.begun), n)
        return range(first, end)


async def complete_set(wanted: Wanted, in_use: EngineInUse, room: BulkRoom) -> list[Completed]:
    """The completions in order, as many together as there is room for. Those that are finished are kept when a person
    comes, or the engine fails. Raises EngineError after TRIES failures, NotWanted."""
    progress = _Progress()
    tries = 0
    while len(progress.done) < wanted.n:
        engine = in_use.engine
        try:
            await _some_of(wanted, engine, room, progress)
        except GaveWay:
            continue
        except (EngineDown, EngineBusy, EngineTimeout) as error:
            tries += 1
            if tries == TRIES or (in_use.is_own and not isinstance(error, EngineTimeout)):
                raise
            await in_use.reattach(engine, _pause_s(tries))
    return [progress.done[k] for k in range(wanted.n)]


async def _some_of(wanted: Wanted, engine: Engine, room: BulkRoom, progress: _Progress) -> None:
    numbers = progress.next_ones(wanted.n)
    async with room.share(min(len(numbers), wanted.together)) as share:
        await share.hold(_ask(wanted, engine, numbers[: share.count], progress))


def _pause_s(tries: int) -> float:
    return 2.0**tries


async def _ask(wanted: Wanted, engine: Engine, numbers: range, progress: _Progress) -> None:
    """Completions that share one reading of the prompt where the engine can do that; each is noted once it ends, and
    how far the others have come when it stops."""
    prompt, parameters = wanted.prompt, wanted.seeded(numbers.start)
    before = progress.begun.get(numbers.start, Beginning())
    if before.ids:
        prompt, parameters = before.prompt(prompt), before.parameters(parameters)
    if wanted.goes_on(engine):
        parameters = beginnings.with_ids(parameters)
    heard = {number: Heard() for number in numbers}
    try:
        async with aclosing(engine.stream_many(prompt, parameters, len(numbers))) as pieces:
            async for piece in pieces:
                number = numbers[piece.index]
                heard[number].take(piece)
                if piece.finish_reason:
                    _note_end(wanted, progress, number, before, heard[number].text, piece)
    finally:
        for number in numbers:
            if number not in progress.done and wanted.goes_on(engine):
                _note_beginning(wanted, progress, number, before, heard[number])
    if not all(number in progress.done for number in numbers):
        raise EngineDown("the stream ended before the completion did")


def _note_end(wanted: Wanted, progress: _Progress, number: int, before: Beginning, text: str, last: Piece) -> None:
    prompt_tokens, completion_tokens = last.prompt_tokens - len(before.ids), len(before.ids) + last.completion_tokens
    progress.done[number] = Completed(before.text + text, last.finish_reason, prompt_tokens, completion_tokens)
    wanted.on_completed()


def _note_beginning(wanted: Wanted, progress: _Progress, number: int, before: Beginning, heard: Heard) -> None:
    """One that had all the tokens it may have, and was not told to be at its end, is cut off there."""
    assert wanted.renderer is not None
    more = heard.beginning(wanted.renderer, before.prompt(wanted.prompt))
    if more is None:
        return
    begun = before.joined(more)
    progress.begun[number] = begun
    if len(begun.ids) >= wanted.parameters.max_completion_tokens:
        end = Piece("", "length", wanted.prompt.tokens + len(begun.ids), 0)
        _note_end(wanted, progress, number, begun, "", end)
