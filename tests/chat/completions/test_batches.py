"""Batches of programs: groups as large as the room, the same seeds as together, and redone for a person if unread."""

import asyncio

import pytest

from chat.completions import batches, giving_way
from chat.completions.batches import stream_batch
from chat.completions.giving_way import BulkRoom
from chat.engines.engine import Parameters, Piece
from chat.engines.scripted import ScriptedEngine
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt

pytestmark = pytest.mark.django_db(transaction=True)
PROMPT = PolicyPrompt([], [1], 1)


class Engine(ScriptedEngine):
    """Notes which groups it is asked for; the first `stuck` of them end only when they are stopped."""

    def __init__(self, stuck=0, ends_before=()):
        self.ends_before = ends_before
        super().__init__(Policy(name="noted", is_scripted=True))
        self.groups, self.stuck, self.begun = [], stuck, asyncio.Event()

    async def stream(self, prompt, parameters):
        async for piece in self.stream_many(prompt, parameters, 1):
            yield piece

    async def stream_many(self, prompt, parameters, n):
        self.groups.append((parameters.seed, n))
        for index in range(n):
            yield Piece(f"{parameters.seed + index}", index=index)
        if self.stuck:
            for index in self.ends_before:
                yield Piece("!", "stop", index=index)
            self.stuck -= 1
            self.begun.set()
            await asyncio.Event().wait()
        for index in range(n):
            yield Piece("", "stop", index=index)


@pytest.fixture(autouse=True)
def _small(monkeypatch, settings):
    monkeypatch.setattr(giving_way, "LOOK_EVERY_S", 0.005)
    settings.CHAT_ENGINE_SLOTS = 4


async def texts(engine, n, *, is_read=False, room=2):
    BulkRoom.of_running_loop().look = room if callable(room) else lambda: room
    found = {}
    async for piece in stream_batch(engine, PROMPT, Parameters(seed=50), n, is_read=is_read):
        found[piece.index] = found.get(piece.index, "") + piece.text
    return found


@pytest.mark.parametrize("is_read", [True, False])
async def test_completions_have_the_seeds_and_numbers_that_they_had_together(is_read):
    engine = Engine()
    assert await texts(engine, 5, is_read=is_read) == {k: str(50 + k) for k in range(5)}
    assert engine.groups == [(50, 2), (52, 2), (54, 1)]


async def test_an_unread_group_is_dropped_for_a_person_and_nothing_comes_twice():
    engine = Engine(stuck=1)

    def room():
        is_person_there = engine.begun.is_set()
        engine.begun.clear()
        return 0 if is_person_there else 2

    assert await texts(engine, 3, room=room) == {0: "50", 1: "51", 2: "52"}
    assert engine.groups == [(50, 2), (50, 2), (52, 1)]


@pytest.mark.parametrize(
    ("ends", "groups"),
    [((0,), [(50, 3), (51, 2)]), ((1,), [(50, 3), (50, 1), (52, 1)]), ((2,), [(50, 3), (50, 2)])],
)
async def test_what_has_ended_in_a_dropped_group_is_kept(ends, groups, settings):
    settings.CHAT_ENGINE_SLOTS = 6
    engine = Engine(stuck=1, ends_before=ends)

    def room():
        is_person_there = engine.begun.is_set()
        engine.begun.clear()
        return 0 if is_person_there else 3

    found = await texts(engine, 3, room=room)
    assert found == {k: f"{50 + k}" + "!" * (k in ends) for k in range(3)}
    assert engine.groups == groups


async def test_a_group_that_somebody_reads_is_finished_beside_a_person():
    engine = Engine()
    looked = iter([2])
    pieces = texts(engine, 2, is_read=True, room=lambda: next(looked, 0))
    assert await pieces == {0: "50", 1: "51"}
    assert engine.groups == [(50, 2)]


async def test_a_group_is_not_dropped_for_ever(monkeypatch):
    monkeypatch.setattr(batches, "MOST_REDONE", 2)
    engine = Engine(stuck=2)
    rooms = []

    def room():
        """A person comes as soon as a group has begun, and goes."""
        rooms.append(0 if rooms and rooms[-1] else 2)
        return rooms[-1]

    assert await texts(engine, 2, room=room) == {0: "50", 1: "51"}
    assert engine.groups == [(50, 2)] * 3
