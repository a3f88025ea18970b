"""The completions of one prompt: what is finished is kept, and a failed engine is replaced by one that runs."""

import asyncio

import pytest

from chat.completions import completing
from chat.completions.completing import EngineInUse, Wanted, complete_set
from chat.completions.giving_way import BulkRoom
from chat.engines.engine import Parameters, Piece
from chat.engines.scripted import ScriptedEngine
from chat.errors import EngineDown
from chat.prompts.fitting import PolicyPrompt

PROMPT = PolicyPrompt([{"role": "user", "content": "What is a star?"}], None, 9)


class OwnStream(ScriptedEngine):
    """A scripted engine whose completions are a function's: prompt and parameters in, pieces out."""

    def __init__(self, policy, stream):
        super().__init__(policy)
        self.asked, self._stream = [], stream

    async def stream(self, prompt, parameters):
        self.asked.append((prompt, parameters))
        async for piece in self._stream(prompt, parameters):
            yield piece


@pytest.fixture
def complete(monkeypatch, scripted_policy):
    monkeypatch.setattr(completing, "_pause_s", lambda tries: 0.0)

    def completed(engine, *, is_own=False, n, together):
        async def run():
            room = BulkRoom.of_running_loop()
            room.look = lambda: 2
            wanted = Wanted(PROMPT, Parameters(), 5, n, together, lambda: None)
            return await complete_set(wanted, EngineInUse(scripted_policy, engine, is_own), room)

        return asyncio.run(run())

    return completed


async def _whole(prompt, parameters):
    yield Piece(f"seed {parameters.seed}", "stop", prompt.tokens, 2)


async def _broken(prompt, parameters):
    if parameters.seed == 5:
        yield Piece("kept", "stop", prompt.tokens, 1)
    else:
        await asyncio.sleep(0)
        raise EngineDown("gone")


@pytest.mark.django_db(transaction=True)
def test_the_rest_is_completed_by_the_engine_in_the_place_of_the_failed_one(complete, scripted_policy, monkeypatch):
    engines = [OwnStream(scripted_policy, _broken), OwnStream(scripted_policy, _whole)]
    monkeypatch.setattr(completing, "attached", lambda policy: engines[1])
    completions = complete(engines[0], n=2, together=1)
    assert [completion.text for completion in completions] == ["kept", "seed 6"]
    assert [parameters.seed for _, parameters in engines[1].asked] == [6]


@pytest.mark.django_db(transaction=True)
def test_an_engine_of_its_own_that_is_gone_is_not_waited_for(complete, scripted_policy):
    engine = OwnStream(scripted_policy, _broken)
    with pytest.raises(EngineDown):
        complete(engine, is_own=True, n=2, together=1)
    assert [parameters.seed for _, parameters in engine.asked] == [5, 6]


@pytest.mark.django_db(transaction=True)
def test_an_engine_that_goes_on_to_fail_is_tried_a_few_times(complete, scripted_policy, monkeypatch):
    engine = OwnStream(scripted_policy, _broken)
    monkeypatch.setattr(completing, "attached", lambda policy: None)
    with pytest.raises(EngineDown):
        complete(engine, n=2, together=1)
    assert [parameters.seed for _, parameters in engine.asked] == [5, *[6] * completing.TRIES]
