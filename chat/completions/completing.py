"""Completes one prompt several times: gives way to people, and tries again where the engine failed.

What was under way when a person came, or the engine failed, is generated again later; nobody reads what is lost.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from asgiref.sync import sync_to_async

from chat.completions.giving_way import BulkRoom, GaveWay
from chat.engines.engine import MAX_SEED, Engine, Parameters
from chat.engines.loading import attached, engine_for
from chat.errors import EngineBusy, EngineDown, EngineTimeout
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt

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
    engine = engine or engine_for(policy)
    if is_own:
        await engine.start(secrets.token_hex(32))
    in_use = EngineInUse(policy, engine, is_own)
    try:
        yield in_use
    finally:
        await in_use.engine.stop()


async def complete_set(wanted: Wanted, in_use: EngineInUse, room: BulkRoom) -> list[Completed]:
    """The completions in order, as many together as there is room for. Those that are finished are kept when a person
    comes, or the engine fails. Raises EngineError after TRIES failures, NotWanted."""
    done: dict[int, Completed] = {}
    tries = 0
    while missing := [k for k in range(wanted.n) if k not in done]:
        engine = in_use.engine
        try:
            await _some_of(wanted, engine, room, missing, done)
        except GaveWay:
            continue
        except (EngineDown, EngineBusy, EngineTimeout) as error:
            tries += 1
            if tries == TRIES or (in_use.is_own and not isinstance(error, EngineTimeout)):
                raise
            await in_use.reattach(engine, _pause_s(tries))
    return [done[k] for k in range(wanted.n)]


async def _some_of(
    wanted: Wanted, engine: Engine, room: BulkRoom, missing: list[int], done: dict[int, Completed]
) -> None:
    """The first of the missing completions, whose seeds follow each other."""
    first = missing[0]
    in_line = next((k for k, number in enumerate(missing) if number != first + k), len(missing))
    async with room.share(min(in_line, wanted.together)) as share:
        await share.hold(_ask(wanted, engine, range(first, first + share.count), done))


def _pause_s(tries: int) -> float:
    return 2.0**tries


async def _ask(wanted: Wanted, engine: Engine, numbers: range, done: dict[int, Completed]) -> None:
    """Completions that share one reading of the prompt where the engine can do that; each is noted once it ends."""
    texts: list[list[str]] = [[] for _ in numbers]
    asked = engine.stream_many(wanted.prompt, wanted.seeded(numbers.start), len(numbers))
    async with aclosing(asked) as pieces:
        async for piece in pieces:
            texts[piece.index].append(piece.text)
            if piece.finish_reason:
                text = "".join(texts[piece.index])
                done[numbers[piece.index]] = Completed(
                    text, piece.finish_reason, piece.prompt_tokens, piece.completion_tokens
                )
                wanted.on_completed()
    if not all(number in done for number in numbers):
        raise EngineDown("the stream ended before the completion did")
