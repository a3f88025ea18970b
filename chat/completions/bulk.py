"""Completes many prompts for tasks and commands, with the running engine or one started for the duration.

With an engine that people talk to, all of it gives way to them (chat.queue.people).
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings

from chat.completions.completing import Completed, EngineInUse, Wanted, complete_set, engine_in_use
from chat.completions.giving_way import BulkRoom
from chat.engines.engine import MAX_SEED, Engine, Parameters
from chat.engines.loading import attached
from chat.errors import EngineDown, EngineError
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt
from chat.prompts.history import prompt_for, renderer_of
from chat.prompts.rendering import Renderer, Turn
from chat.queue import people

__all__ = ["Completed", "CompletedSet", "complete_each"]

FAILURES_IN_A_ROW = 3
"""Prompts that failed one after the other, each as often as one is tried, after which the rest is not tried."""

CompletedSet = tuple[int, list[Completed]]
"""The index of a prompt, and its completions in order."""


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
    first_seed: int
    renderer: Renderer | None
    done: int = 0

    def wanted(self, index: int) -> Wanted:
        seed = self.first_seed + self.numbers[index] * self.n
        return Wanted(self.prompts[index], self.parameters, seed, self.n, self.together, self._count, self.renderer)

    def _count(self) -> None:
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
    seed + i * n + k, and anew when it was stopped; without one, what was stopped goes on where it can.
    `on_progress(done, of)` is called after each completion. Raises TooLong, EngineError, BadPolicy, NotWanted.

    A prompt is tried a few times (`completing.TRIES`). If one fails, the others are completed all the same, and the
    first failure is raised at the end. `numbers`: the number i of each prompt, where some of them were completed
    before. `look` is called five times a second while the work waits or runs on the site's engine, and may raise
    NotWanted. `together`: at most so many completions of a prompt at a time, since fewer end sooner, and the finished
    ones are kept when a person comes. `starts_engine`: else EngineDown is raised where none runs.
    """
    parameters = parameters or Parameters(
        temperature=settings.CHAT_TEMPERATURE, max_completion_tokens=settings.CHAT_MAX_COMPLETION_TOKENS
    )
    fitted = [prompt_for(policy, prompt, parameters.max_completion_tokens) for prompt in prompts]
    engine = attached(policy)
    if engine is None and not starts_engine:
        raise EngineDown("no engine is ready")
    order = _Order(
        fitted,
        numbers or range(len(prompts)),
        n,
        together or n,
        parameters,
        on_progress,
        look,
        first_seed=secrets.randbelow(MAX_SEED) if parameters.seed is None else parameters.seed,
        renderer=renderer_of(policy) if parameters.seed is None else None,
    )
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
    async with engine_in_use(policy, engine) as in_use:
        room = BulkRoom.of_running_loop()
        room.look = _all_slots if in_use.is_own else order.look
        at_once = asyncio.Semaphore(settings.CHAT_ENGINE_SLOTS)
        tasks = [asyncio.create_task(_set_of(order, in_use, room, at_once, i)) for i in range(len(order.prompts))]
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


async def _set_of(
    order: _Order, in_use: EngineInUse, room: BulkRoom, at_once: asyncio.Semaphore, index: int
) -> CompletedSet:
    async with at_once:
        return index, await complete_set(order.wanted(index), in_use, room)
