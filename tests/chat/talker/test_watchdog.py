"""Engines that die, fall silent or go mute are replaced, and whoever waits is told."""

import asyncio
from typing import ClassVar

import pytest

from chat.engines.engine import Engine, Piece
from chat.engines.scripted import ScriptedEngine
from chat.errors import EngineDown
from chat.models import EngineProcess, Reply
from chat.talker import engine_pool as keeping
from tests.chat.sockets import opened
from tests.chat.talkers import talking, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr(keeping, "STEP_S", 0.02)
    monkeypatch.setattr(keeping, "PROBE_EVERY_S", 0.05)
    monkeypatch.setattr(keeping, "SILENT_LIMIT_S", 30.0)


class Mute(Engine):
    """Embedded, healthy whenever it is asked, and the first one made stops in the middle of its reply."""

    is_embedded = True
    made: ClassVar[int] = 0

    def __init__(self, policy):
        super().__init__(policy)
        type(self).made += 1
        self.is_mute = self.made == 1
        self.ended = asyncio.Event()

    async def start(self, key):
        pass

    async def stream(self, prompt, parameters):
        yield Piece("Once")
        if self.is_mute:
            await self.ended.wait()
            raise EngineDown("killed")
        yield Piece(" upon", "stop")

    async def is_healthy(self):
        return True

    async def stop(self):
        self.ended.set()


async def test_a_mute_engine_is_replaced_and_its_reply_interrupted_with_what_it_wrote(
    tiny_live_policy, conversation, alice, settings, monkeypatch
):
    monkeypatch.setattr(keeping, "MUTE_LIMIT_S", 0.3)
    monkeypatch.setattr(Mute, "made", 0)
    settings.CHAT_ENGINE = "tests.chat.talker.test_watchdog.Mute"
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        done = (await socket.hear_until("reply.done"))[-1]
        assert (done["state"], done["text"]) == ("interrupted", "Once")
        await socket.say(type="message.send", text="Hi", key="k2", parent=None)
        done = (await socket.hear_until("reply.done"))[-1]
        assert (done["state"], done["text"]) == ("complete", "Once upon")
    lost = await EngineProcess.objects.order_by("pk").afirst()
    assert "none of its replies went on" in lost.error


async def test_an_engine_at_a_long_prompt_is_not_mute(tiny_live_policy, conversation, alice, settings, monkeypatch):
    """Before the first piece there may be minutes of reading."""

    async def stream(engine, prompt, parameters):
        await asyncio.sleep(0.8)
        yield Piece("Once", "stop")

    monkeypatch.setattr(keeping, "MUTE_LIMIT_S", 0.3)
    monkeypatch.setattr(Mute, "stream", stream)
    settings.CHAT_ENGINE = "tests.chat.talker.test_watchdog.Mute"
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        assert (await socket.hear_until("reply.done"))[-1]["state"] == "complete"
    assert not await EngineProcess.objects.exclude(error="").aexists()


async def test_who_waits_for_an_engine_that_is_restarted_is_told_so(
    scripted_policy, conversation, alice, script, monkeypatch
):
    monkeypatch.setattr(keeping, "SILENT_LIMIT_S", 0.5)
    async with talking() as talker, opened(conversation, alice) as socket:
        async with asyncio.timeout(10):
            while talker.engines.current is None:
                await asyncio.sleep(0.02)
            script.is_down = True
            while talker.engines.current is not None:
                await asyncio.sleep(0.02)
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        heard = []
        while not any(frame.get("engine") == "restarting" for frame in heard):
            heard.append(await socket.hear())
        script.is_down = False
        heard += await socket.hear_until("reply.done")
        assert heard[-1]["state"] == "complete"
    states = [(frame["state"], frame["engine"]) for frame in heard if frame["type"] == "reply.state"]
    assert states[-1] == ("complete", None)


async def test_a_first_start_is_no_restart(scripted_policy, conversation, alice, script, monkeypatch):
    may_start = asyncio.Event()

    async def start(engine, key):
        await may_start.wait()

    monkeypatch.setattr(ScriptedEngine, "start", start)
    async with talking() as talker, opened(conversation, alice) as socket:
        await until(lambda: talker.engines.engines)
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        heard = await socket.hear_until("reply.state")
        may_start.set()
        heard += await socket.hear_until("reply.done")
    engines = [frame["engine"] for frame in heard if frame["type"] == "reply.state"]
    assert "starting" in engines
    assert "restarting" not in engines
    assert await Reply.objects.filter(state="complete").acount() == 1
