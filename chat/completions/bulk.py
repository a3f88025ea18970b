"""Completes many prompts for tasks and commands, with the running engine or one started for the duration."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from asgiref.sync import sync_to_async
from django.conf import settings

from chat.engines.engine import MAX_SEED, Engine, Parameters
from chat.engines.loading import attached, engine_for
from chat.errors import EngineBusy, EngineDown
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt
from chat.prompts.history import prompt_for
from chat.prompts.rendering import Turn

TRIES = 4


@dataclass(frozen=True)
class Completed:
    text: str
    finish_reason: str
    """`stop` (the model ended) or `length`."""
    prompt_tokens: int
    completion_tokens: int


@dataclass
class _Work:
    policy: Policy
    engine: Engine
    is_own: bool
    """Started here, for the duration."""


def complete(
    policy: Policy,
    prompts: Sequence[Sequence[Turn]],
    *,
    n: int = 1,
    parameters: Parameters | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[list[Completed]]:
    """`n` completions of each prompt, in order. Must not be called from a running event loop.

    With a seed, completion k of prompt i is sampled with seed + i * n + k. `on_progress(done, of)` is called after
    each completion. Raises TooLong, EngineError, BadPolicy.
    """
    parameters = parameters or Parameters(
        temperature=settings.CHAT_TEMPERATURE, max_completion_tokens=settings.CHAT_MAX_COMPLETION_TOKENS
    )
    fitted = [prompt_for(policy, prompt, parameters.max_completion_tokens) for prompt in prompts]
    engine = attached(policy)
    return asyncio.run(_complete(policy, engine, fitted, n, parameters, on_progress))


async def _complete(
    policy: Policy,
    engine: Engine | None,
    prompts: list[PolicyPrompt],
    n: int,
    parameters: Parameters,
    on_progress: Callable[[int, int], None] | None,
) -> list[list[Completed]]:
    done, total = 0, len(prompts) * n
    first_seed = secrets.randbelow(MAX_SEED) if parameters.seed is None else parameters.seed

    async with _working(policy, engine) as work:
        # With an engine that people talk to, half of its slots stay theirs.
        slots = settings.CHAT_ENGINE_SLOTS if work.is_own else max(1, settings.CHAT_ENGINE_SLOTS // 2)
        together = min(n, slots)
        gate = asyncio.Semaphore(slots // together)

        async def some(prompt: PolicyPrompt, number: int, count: int) -> list[Completed]:
            nonlocal done
            async with gate:
                seeded = replace(parameters, seed=(first_seed + number) % (MAX_SEED + 1))
                completed = await _patiently(work, prompt, seeded, count)
            for _ in completed:
                done += 1
                if on_progress:
                    on_progress(done, total)
            return completed

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    [group.create_task(some(prompt, i * n + k, min(together, n - k))) for k in range(0, n, together)]
                    for i, prompt in enumerate(prompts)
                ]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
    return [[completed for task in row for completed in task.result()] for row in tasks]


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


async def _patiently(work: _Work, prompt: PolicyPrompt, parameters: Parameters, n: int) -> list[Completed]:
    """Asks again where the talker is restarting the engine that was asked."""
    for attempt in range(1, TRIES + 1):
        engine = work.engine
        try:
            return await _once(engine, prompt, parameters, n)
        except (EngineDown, EngineBusy):
            if attempt == TRIES or work.is_own:
                raise
            await asyncio.sleep(2**attempt)
            if work.engine is engine:
                work.engine = await sync_to_async(attached)(work.policy) or engine
    raise AssertionError("unreachable")


async def _once(engine: Engine, prompt: PolicyPrompt, parameters: Parameters, n: int) -> list[Completed]:
    """`n` completions that share one reading of the prompt where the engine can do that."""
    texts: list[list[str]] = [[] for _ in range(n)]
    done: dict[int, Completed] = {}
    async with aclosing(engine.stream_many(prompt, parameters, n)) as pieces:
        async for piece in pieces:
            texts[piece.index].append(piece.text)
            if piece.finish_reason:
                text = "".join(texts[piece.index])
                done[piece.index] = Completed(text, piece.finish_reason, piece.prompt_tokens, piece.completion_tokens)
    if len(done) < n:
        raise EngineDown("the stream ended before the completion did")
    return [done[index] for index in range(n)]
