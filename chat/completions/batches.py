"""Streams the completions of a batch in groups, as many at a time as people leave room for."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from chat.completions.giving_way import BulkRoom, GaveWay
from chat.engines.engine import MAX_SEED, Engine, Parameters, Piece
from chat.prompts.fitting import PolicyPrompt
from chat.queue import people

MOST_REDONE = 5
"""How often a group is dropped for a person. Then it is finished beside them: else somebody who asks all day could
keep a request from ever being answered."""


async def stream_batch(
    engine: Engine, prompt: PolicyPrompt, parameters: Parameters, n: int, *, is_read: bool
) -> AsyncGenerator[Piece, None]:
    """`n` completions, as `Engine.stream_many` streams them, group after group.

    `is_read`: a group that has begun is not stopped, since its reader has the beginning already.
    """
    room, first, redone = BulkRoom.of_running_loop(), 0, 0
    while first < n:
        async with room.share(min(n - first, people.most_bulk())) as share:
            group = _group(engine, prompt, parameters, first, share.count)
            if is_read or redone == MOST_REDONE:
                async with aclosing(group) as pieces:
                    async for piece in pieces:
                        yield piece
            else:
                try:
                    whole = await share.hold(_all_of(group))
                except GaveWay:
                    redone += 1
                    continue
                for piece in whole:
                    yield piece
            first += share.count
            redone = 0


async def _group(
    engine: Engine, prompt: PolicyPrompt, parameters: Parameters, first: int, count: int
) -> AsyncGenerator[Piece, None]:
    """Completions `first` and following, each with the seed that it would have if all were generated together."""
    if parameters.seed is not None:
        parameters = replace(parameters, seed=(parameters.seed + first) % (MAX_SEED + 1))
    asked = engine.stream_many(prompt, parameters, count) if count > 1 else engine.stream(prompt, parameters)
    async with aclosing(asked) as pieces:
        async for piece in pieces:
            yield replace(piece, index=piece.index + first)


async def _all_of(group: AsyncGenerator[Piece, None]) -> list[Piece]:
    async with aclosing(group) as pieces:
        return [piece async for piece in pieces]
