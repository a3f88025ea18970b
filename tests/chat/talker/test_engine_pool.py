"""The embedded engine under a talker: killed, stopped, swapped and left behind, with replies under way."""

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack

import psutil
import pytest
from asgiref.sync import sync_to_async

from chat import policies
from chat.models import Conversation, EngineProcess, Policy, Reply
from chat.talker import engine_pool as keeping
from tests.chat.policies import install, swap
from tests.chat.sockets import opened, text_of
from tests.chat.talkers import assert_whole, ready, talking

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _long_replies(settings):
    settings.CHAT_CONTEXT_TOKENS, settings.CHAT_MAX_COMPLETION_TOKENS = 1024, 400
    settings.CHAT_TEMPERATURE, settings.CHAT_REPLIES_PER_USER = 1.0, 20


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(keeping, "PROBE_EVERY_S", 0.2)
    monkeypatch.setattr(keeping, "PROBE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(keeping, "SILENT_LIMIT_S", 1.5)


async def rooms(stack, alice, count, until="reply.chunk"):
    """Sockets of so many conversations, each with what it heard up to the first frame of that type."""
    opened_ = []
    for i in range(count):
        room = await Conversation.objects.acreate(owner=alice)
        socket = await stack.enter_async_context(opened(room, alice))
        await socket.say(type="message.send", text=f"What is a star? {i}", key="k", parent=None)
        opened_.append((socket, await socket.hear_until(until)))
    return opened_


async def test_a_killed_engine_interrupts_its_replies_and_comes_back(tiny_live_policy, alice):
    async with talking() as talker, AsyncExitStack() as stack:
        loaded = await ready(talker)
        sockets = await rooms(stack, alice, 2)
        os.kill(loaded.engine.pid, signal.SIGSTOP)  # the tiny model is quick: these two can not end before the kill
        sockets += await rooms(stack, alice, 2, until="reply.state")
        async with asyncio.timeout(keeping.SILENT_LIMIT_S / 2):  # else it is killed for its silence
            while await Reply.objects.filter(state="queued").aexists():
                await asyncio.sleep(0.02)
        os.kill(loaded.engine.pid, signal.SIGKILL)
        killed = time.monotonic()
        for socket, heard in sockets:
            heard += await socket.hear_until("reply.done")
            assert heard[-1]["state"] in ("interrupted", "complete")
            assert heard[-1]["text"] == text_of(heard)
        assert any(heard[-1]["state"] == "interrupted" for _, heard in sockets)
        async with asyncio.timeout(15):
            while (again := await ready(talker)) is loaded:
                await asyncio.sleep(0.02)
        assert again.engine.pid != loaded.engine.pid
        assert time.monotonic() - killed < 15
        (socket, heard), *_ = await rooms(stack, alice, 1)
        assert (heard + await socket.hear_until("reply.done"))[-1]["state"] == "complete"
        dead = await EngineProcess.objects.aget(pk=loaded.row)
        assert dead.state == "dead"
        assert dead.error
    await assert_whole()


async def test_a_silent_engine_is_killed_and_replaced(tiny_live_policy, alice, hasty):
    async with talking() as talker, AsyncExitStack() as stack:
        loaded = await ready(talker)
        sockets = await rooms(stack, alice, 2)
        os.kill(loaded.engine.pid, signal.SIGSTOP)
        for socket, heard in sockets:
            heard += await socket.hear_until("reply.done", timeout=15)
            assert heard[-1]["text"] == text_of(heard)
        await ready(talker)
        async with asyncio.timeout(10):  # it is killed beside the start of the next
            while psutil.pid_exists(loaded.engine.pid):
                await asyncio.sleep(0.05)
    await assert_whole()


async def test_a_new_policy_is_served_within_five_seconds_and_replies_end_on_the_old(
    tiny_policy, tiny_live_policy, alice
):
    new = await sync_to_async(install)(tiny_policy, "tiny-next")
    async with talking() as talker, AsyncExitStack() as stack:
        old = await ready(talker)
        sockets = await rooms(stack, alice, 2)
        await sync_to_async(swap)(tiny_live_policy, new)
        promoted = time.monotonic()
        await ready(talker, new)
        assert time.monotonic() - promoted < 5
        (socket, heard), *_ = await rooms(stack, alice, 1)
        sockets.append((socket, heard))
        names = [(await socket.hear_until("reply.done", 20))[-1]["policy"]["name"] for socket, _ in sockets]
        assert names == ["tiny-base", "tiny-base", "tiny-next"]
        async with asyncio.timeout(5):
            while psutil.pid_exists(old.engine.pid):
                await asyncio.sleep(0.05)
        await sync_to_async(swap)(new, tiny_live_policy)  # and back
        await ready(talker, tiny_live_policy)
    assert await Reply.objects.filter(state="complete").acount() == 3
    await assert_whole()


async def test_a_policy_that_can_not_be_loaded_leaves_the_old_one_answering(tiny_policy, tiny_live_policy, alice):
    bad = await sync_to_async(install)(tiny_policy, "tiny-tampered")
    with (policies.directory(bad) / "policy.gguf").open("r+b") as file:
        file.seek(2000)
        file.write(b"\xff\xff\xff")
    async with talking() as talker, AsyncExitStack() as stack:
        await ready(talker)
        await sync_to_async(swap)(tiny_live_policy, bad)
        async with asyncio.timeout(10):
            while not await EngineProcess.objects.filter(policy=bad, state="dead").aexists():
                await asyncio.sleep(0.05)
        (socket, heard), *_ = await rooms(stack, alice, 1)
        done = (heard + await socket.hear_until("reply.done"))[-1]
        assert (done["state"], done["policy"]["name"]) == ("complete", "tiny-base")
    assert (await EngineProcess.objects.filter(policy=bad).afirst()).error.startswith("bad_policy")


async def test_replies_wait_for_the_engine_that_starts(tiny_live_policy, alice, conversation):
    async with opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k", parent=None)
        await socket.hear_until("message.accepted")
        async with talking():
            assert (await socket.hear_until("reply.done", 20))[-1]["state"] == "complete"


async def test_where_no_engine_comes_a_queued_reply_fails_in_the_end(conversation, alice, monkeypatch):
    from datetime import timedelta

    from chat.queue import reaping

    monkeypatch.setattr(reaping, "QUEUE_PATIENCE", timedelta(seconds=0.3))
    async with opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k", parent=None)
        heard = await socket.hear_until("reply.done")
        assert heard[-1]["state"] == "failed"
        state = [frame for frame in heard if frame["type"] == "reply.state"][-1]
        assert (state["error"]["code"], state["retryable"]) == ("engine_down", True)


async def test_a_message_that_does_not_fit_the_context_fails_at_once(tiny_live_policy, conversation, alice):
    async with talking() as talker, opened(conversation, alice) as socket:
        await ready(talker)
        asked = time.monotonic()
        await socket.say(type="message.send", text="x1 " * 2000, key="k", parent=None)
        heard = await socket.hear_until("reply.done")
        assert time.monotonic() - asked < 1.5
        state = [frame for frame in heard if frame["type"] == "reply.state"][-1]
        assert (state["state"], state["error"]["code"], state["retryable"]) == ("failed", "too_long", False)


async def test_an_engine_of_another_talker_is_found_by_its_row(tiny_live_policy):
    from chat.engines.loading import attached

    assert await sync_to_async(attached)(tiny_live_policy) is None
    async with talking() as talker:
        loaded = await ready(talker)
        async with asyncio.timeout(5):
            while (engine := await sync_to_async(attached)(tiny_live_policy)) is None:
                await asyncio.sleep(0.05)
        assert engine.url == loaded.engine.url
        assert await engine.is_healthy()
        await engine.stop()
        assert loaded.engine.is_running()
    assert await sync_to_async(attached)(tiny_live_policy) is None


@pytest.mark.parametrize(("address", "reaches"), [("127.0.0.1", False), ("127.0.0.2", True)])
async def test_another_host_reaches_an_engine_that_listens_beyond_its_own(
    tiny_live_policy, settings, monkeypatch, address, reaches
):
    """127.0.0.2 stands for the address of a network here: what is no loopback to the site is reached from outside."""
    from chat.engines import loading

    monkeypatch.setattr(loading, "LOOPBACK", "http://127.0.0.1")
    settings.CHAT_ENGINE_HOST = address
    async with talking() as talker:
        loaded = await ready(talker)
        assert loaded.engine.url.startswith(f"http://{address}:")
        async with asyncio.timeout(5):
            while not await sync_to_async(EngineProcess.objects.filter(url=loaded.engine.url).exists)():
                await asyncio.sleep(0.05)
        monkeypatch.setattr(loading.socket, "gethostname", lambda: "another-host")
        engine = await sync_to_async(loading.attached)(tiny_live_policy)
        assert (engine is not None) is reaches
        if engine is not None:
            assert await engine.is_healthy()
            await engine.stop()


async def test_without_a_policy_nothing_starts(db):
    async with talking() as talker:
        await asyncio.sleep(0.5)
        assert talker.engines.engines == []
    assert not await Policy.objects.aexists()
