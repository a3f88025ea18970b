"""Streams the completions of a batch in groups, as many at a time as people leave room for."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

from chat.completions.giving_way import BulkRoom, GaveWay
from chat.engines.engine import MAX_SEED, Engine, Parameters, Piece
from chat.prompts.fitting import PolicyPrompt
from chat.queue import people

MOST_REDONE = 5
"""How often in a row a group is dropped for a person without a completion that has ended. Then it is finished beside
them: else somebody who asks all day could keep a request from ever being answered."""

Ended = dict[int, list[Piece]]
"""The pieces of completions that have ended, by their number."""


async def stream_batch(
    engine: Engine, prompt: PolicyPrompt, parameters: Parameters, n: int, *, is_read: bool
) -> AsyncGenerator[Piece, None]:
    """`n` completions, as `Engine.stream_many` streams them, group after group.

    `is_read`: a group that has begun is not stopped, since its reader has the beginning already. Of one that is
    stopped, the completions that have ended are kept, and only the others are done again.
    """
    room, redone = BulkRoom.of_running_loop(), 0
    missing = list(range(n))
    while missing:
        async with room.share(min(_in_a_row(missing), people.most_bulk())) as share:
            group = _group(engine, prompt, parameters, missing[0], min(share.count, _in_a_row(missing)))
            if is_read or redone == MOST_REDONE:
                numbers = set[int]()
                async with aclosing(group) as pieces:
                    async for piece in pieces:
                        numbers.add(piece.index)
                        yield piece
                redone = 0
            else:
                ended: Ended = {}
                with suppress(GaveWay):
                    await share.hold(_note_ends(group, ended))
                numbers = set(ended)
                redone = 0 if ended else redone + 1
                for number in sorted(ended):
                    for piece in ended[number]:
                        yield piece
            missing = [number for number in missing if number not in numbers]


def _in_a_row(missing: Sequence[int]) -> int:
    """How many from the first on follow each other: their seeds do so, too, and they can be asked for together."""
    return next((at for at, number in enumerate(missing) if number != missing[0] + at), len(missing))


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


async def _note_ends(group: AsyncGenerator[Piece, None], ended: Ended) -> None:
    """Puts each completion into `ended` once its last piece is there."""
    heard: Ended = {}
    async with aclosing(group) as pieces:
        async for piece in pieces:
            heard.setdefault(piece.index, []).append(piece)
            if piece.finish_reason:
                ended[piece.index] = heard[piece.index]
