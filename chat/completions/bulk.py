"""Completes many prompts for tasks and commands, with the running engine or one started for the duration.

With an engine that people talk to, all of it gives way to them (chat.queue.people): completions under way are
stopped as soon as a person waits, and generated again later. Only unfinished ones are lost, and nobody reads those.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from asgiref.sync import sync_to_async
from django.conf import settings

from chat.completions.giving_way import BulkRoom, GaveWay
from chat.engines.engine import MAX_SEED, Engine, Parameters
from chat.engines.loading import attached, engine_for
from chat.errors import EngineBusy, EngineDown, EngineError, EngineTimeout
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt
from chat.prompts.history import prompt_for
from chat.prompts.rendering import Turn
from chat.queue import people

TRIES = 4
FAILURES_IN_A_ROW = 3
"""Prompts that failed one after the other, each TRIES times, after which the rest is not tried."""


@dataclass(frozen=True)
class Completed:
    text: str
    finish_reason: str
    """`stop` (the model ended) or `length`."""
    prompt_tokens: int
    completion_tokens: int


CompletedSet = tuple[int, list[Completed]]
"""The index of a prompt, and its completions in order."""


@dataclass
class _Work:
    policy: Policy
    engine: Engine
    is_own: bool
    """Started here, for the duration."""


@dataclass
class _Order:
    """What is to be completed, and how far that is."""

    prompts: list[PolicyPrompt]
    numbers: Sequence[int]
    n: int
    together: int
    parameters: Parameters
    on_progress: Callable[[int, int], None] | None
    look: Callable[[], int]
    first_seed: int = 0
    done: int = 0

    def seeded(self, index: int, completion: int) -> Parameters:
        number = self.first_seed + self.numbers[index] * self.n + completion
        return replace(self.parameters, seed=number % (MAX_SEED + 1))

    def count(self) -> None:
        self.done += 1
        if self.on_progress:
            self.on_progress(self.done, len(self.prompts) * self.n)


def complete_each(
    policy: Policy,
    prompts: Sequence[Sequence[Turn]],
    *,
    n: int = 1,
    parameters: Parameters | None = None,
    numbers: Sequence[int] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    look: Callable[[], int] = people.room_for_bulk,
    together: int | None = None,
    starts_engine: bool = True,
) -> Iterator[CompletedSet]:
    """`n` completions of each prompt as soon as they are there, so that the caller can store them.

    Must not be called from a running event loop. With a seed, completion k of prompt i is sampled with
    seed + i * n + k. `on_progress(done, of)` is called after each completion. Raises TooLong, EngineError, BadPolicy,
    NotWanted.

    A prompt is tried TRIES times. If one fails, the others are completed all the same, and the first failure is
    raised at the end. `numbers`: the number i of each prompt, where some of them were completed before. `look` is
    called five times a second while the work waits or runs on the site's engine, and may raise NotWanted.
    `together`: at most so many completions of a prompt at a time, since fewer end sooner, and the finished ones are
    kept when a person comes. `starts_engine`: else EngineDown is raised where none runs.
    """
    parameters = parameters or Parameters(
        temperature=settings.CHAT_TEMPERATURE, max_completion_tokens=settings.CHAT_MAX_COMPLETION_TOKENS
    )
    fitted = [prompt_for(policy, prompt, parameters.max_completion_tokens) for prompt in prompts]
    engine = attached(policy)
    if engine is None and not starts_engine:
        raise EngineDown("no engine is ready")
    seed = secrets.randbelow(MAX_SEED) if parameters.seed is None else parameters.seed
    order = _Order(fitted, numbers or range(len(prompts)), n, together or n, parameters, on_progress, look, seed)
    with asyncio.Runner() as runner:
        sets = _complete(policy, engine, order)
        try:
            while (found := runner.run(_next(sets))) is not None:
                yield found
        finally:
            runner.run(sets.aclose())


async def _next(sets: AsyncGenerator[CompletedSet, None]) -> CompletedSet | None:
    return await anext(sets, None)


async def _complete(policy: Policy, engine: Engine | None, order: _Order) -> AsyncGenerator[CompletedSet, None]:
    async with _working(policy, engine) as work:
        room = BulkRoom.of_running_loop()
        room.look = _all_slots if work.is_own else order.look
        at_once = asyncio.Semaphore(settings.CHAT_ENGINE_SLOTS)
        tasks = [asyncio.create_task(_set_of(order, work, room, at_once, i)) for i in range(len(order.prompts))]
        try:
            async for found in _good_ones(tasks):
                yield found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _good_ones(tasks: list[asyncio.Task[CompletedSet]]) -> AsyncGenerator[CompletedSet, None]:
    """As they are done; then raises the first failure of an engine. Any other error is raised at once."""
    ended: asyncio.Queue[asyncio.Task[CompletedSet]] = asyncio.Queue()
    for task in tasks:
        task.add_done_callback(ended.put_nowait)
    failures: list[EngineError] = []
    in_a_row = 0
    for _ in tasks:
        task = await ended.get()
        failure = task.exception()
        if isinstance(failure, EngineError):
            failures.append(failure)
            in_a_row += 1
            if in_a_row == FAILURES_IN_A_ROW:
                break
        else:
            in_a_row = 0
            yield task.result()
    if failures:
        raise failures[0]


def _all_slots() -> int:
    return int(settings.CHAT_ENGINE_SLOTS)


async def _set_of(order: _Order, work: _Work, room: BulkRoom, at_once: asyncio.Semaphore, index: int) -> CompletedSet:
    """The completions of one prompt, as many together as there is room for. Those that are finished are kept when a
    person comes, or the engine fails."""
    done: dict[int, Completed] = {}
    tries = 0
    async with at_once:
        while missing := [k for k in range(order.n) if k not in done]:
            engine = work.engine
            try:
                await _some_of(order, engine, room, index, missing, done)
            except GaveWay:
                continue
            except (EngineDown, EngineBusy, EngineTimeout) as error:
                tries += 1
                if tries == TRIES or (work.is_own and not isinstance(error, EngineTimeout)):
                    raise
                await _reattach(work, engine, _pause_s(tries))
    return index, [done[k] for k in range(order.n)]


async def _some_of(
    order: _Order, engine: Engine, room: BulkRoom, index: int, missing: list[int], done: dict[int, Completed]
) -> None:
    """The first of the missing completions, whose seeds follow each other."""
    first = missing[0]
    in_line = next((k for k, number in enumerate(missing) if number != first + k), len(missing))
    async with room.share(min(in_line, order.together)) as share:
        parameters = order.seeded(index, first)
        numbers = range(first, first + share.count)
        await share.hold(_ask(order, engine, order.prompts[index], parameters, numbers, done))


def _pause_s(tries: int) -> float:
    return 2.0**tries


async def _reattach(work: _Work, failed: Engine, pause_s: float) -> None:
    """After a pause, takes the engine that the talker may have started in the place of the failed one."""
    await asyncio.sleep(pause_s)
    if work.engine is failed and not work.is_own:
        work.engine = await sync_to_async(attached)(work.policy) or failed


@asynccontextmanager
async def _working(policy: Policy, engine: Engine | None) -> AsyncIterator[_Work]:
    is_own = engine is None
    engine = engine or engine_for(policy)
    if is_own:
        await engine.start(secrets.token_hex(32))
    work = _Work(policy, engine, is_own)
    try:
        yield work
    finally:
        await work.engine.stop()


async def _ask(
    order: _Order,
    engine: Engine,
    prompt: PolicyPrompt,
    parameters: Parameters,
    numbers: range,
    done: dict[int, Completed],
) -> None:
    """Completions that share one reading of the prompt where the engine can do that; each is noted once it ends."""
    texts: list[list[str]] = [[] for _ in numbers]
    async with aclosing(engine.stream_many(prompt, parameters, len(numbers))) as pieces:
        async for piece in pieces:
            texts[piece.index].append(piece.text)
            if piece.finish_reason:
                text = "".join(texts[piece.index])
                done[numbers[piece.index]] = Completed(
                    text, piece.finish_reason, piece.prompt_tokens, piece.completion_tokens
                )
                order.count()
    if not all(number in done for number in numbers):
        raise EngineDown("the stream ended before the completion did")
