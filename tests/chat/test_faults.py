"""Faults on a whole site with a real engine: each ends as promised, and `fsck` finds nothing afterwards."""

import asyncio
import contextlib
import json
import signal
import time
import uuid

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage

from config import reaper
from tests.person import Person
from tests.site import running_site

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]
STREAMS = 6
ENDED = ("complete", "stopped", "interrupted", "blocked", "failed")
WITHIN_S = 60
"""A reply ends this soon after its engine's death."""
BACK_WITHIN_S = 30


@pytest.fixture(scope="module")
def site(tiny_policy, tmp_path_factory):
    with running_site(
        tmp_path_factory.mktemp("site"),
        tiny_policy,
        patience_s=240,
        CHAMSAE_ENGINE_THREADS="1",
        CHAMSAE_ENGINE_SLOTS="8",
        CHAMSAE_CONTEXT_TOKENS="2048",
        CHAMSAE_MAX_COMPLETION_TOKENS="400",
        CHAMSAE_TEMPERATURE="1.0",
        CHAMSAE_REPLIES_PER_USER="50",
        CHAMSAE_MESSAGES_PER_MINUTE="1000",
    ) as site:
        yield site


@pytest.fixture
def person(site):
    with contextlib.closing(Person(site.url, "chatter")) as person:
        yield person


@pytest.fixture(autouse=True)
def _sound_afterwards(site):
    yield
    said = json.loads(site.manage("fsck", "--json"))
    assert said["problems"] == []


def process(site, words):
    """The site's process with the words in its command line; None while there is none."""
    marker = json.loads((site.home / "run_site.lock").read_text())["marker"]
    for found in reaper.marked(marker):
        with contextlib.suppress(psutil.NoSuchProcess):
            if words in " ".join(found.cmdline()) and found.status() != psutil.STATUS_ZOMBIE:
                return found
    return None


async def another(site, words, former):
    """The process that took the place of the former one."""
    async with asyncio.timeout(BACK_WITHIN_S):
        while (found := process(site, words)) is None or found.pid == former.pid:
            await asyncio.sleep(0.1)
    return found


class Reading:
    """A page: it keeps what it was told, and resumes where it was after its connection broke."""

    def __init__(self, person):
        self.person, self.conversation = person, person.new_conversation()
        self.reply, self.state, self.seq, self.texts, self.done, self.parted = 0, "", 0, [], None, 0

    async def run(self):
        while self.done is None:
            try:
                async with self.person.chat(self.conversation) as chat:
                    await self._begin(chat)
                    while self.done is None:
                        self._take(await chat.receive())
            except (ConnectionClosed, InvalidMessage, OSError):  # killed in the middle of a greeting, too
                self.parted += 1
                await asyncio.sleep(0.3)
        return self

    async def _begin(self, chat):
        if self.reply:
            await chat.send(type="reply.resume", reply=self.reply, after_seq=self.seq)
        else:
            await chat.send(type="message.send", text="What is a star?", key=uuid.uuid4().hex, parent=None)

    def _take(self, event):
        if event["type"] == "message.accepted":
            self.reply = event["reply"]["id"]
        elif event["type"] == "reply.state":
            self.state = event["state"]
        elif event["type"] == "reply.chunk":
            assert event["first"] == self.seq + 1, "a gap or a repeat"
            self.seq = event["seq"]
            self.texts.append(event["text"])
        elif event["type"] == "reply.done":
            self.done = event
            assert event["text"] == "".join(self.texts)


def gone_already():
    """On a slow machine the site may have replaced an engine before the test came to it."""
    return contextlib.suppress(psutil.NoSuchProcess)


async def until(condition, timeout_s=30):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def reading(person):
    """Pages whose replies are under way."""
    readings = [Reading(person) for _ in range(STREAMS)]
    tasks = [asyncio.create_task(reading.run()) for reading in readings]
    await until(lambda: any(reading.texts for reading in readings))
    try:
        yield readings, tasks
    finally:
        for task in tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def standing_still(site, person):
    """The same while their engine stands still, so that none of them can end."""
    engine = process(site, "llamacpp_server")
    first = [Reading(person) for _ in range(STREAMS // 2)]
    tasks = [asyncio.create_task(reading.run()) for reading in first]
    await until(lambda: any(reading.texts for reading in first), BACK_WITHIN_S)
    engine.suspend()
    rest = [Reading(person) for _ in range(STREAMS - len(first))]
    tasks += [asyncio.create_task(reading.run()) for reading in rest]
    await until(lambda: all(reading.state == "streaming" or reading.done for reading in first + rest))
    try:
        yield engine, first + rest, tasks
    finally:
        for task in tasks:
            task.cancel()


async def test_a_killed_engine_interrupts_its_replies_and_is_replaced(site, person):
    async with standing_still(site, person) as (engine, readings, tasks):
        with gone_already():
            engine.kill()
        killed = time.monotonic()
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*tasks)
        assert {reading.done["state"] for reading in readings} <= {"complete", "interrupted"}
        assert any(reading.done["state"] == "interrupted" for reading in readings)
        await another(site, "llamacpp_server", engine)
        async with asyncio.timeout(BACK_WITHIN_S - (time.monotonic() - killed)):
            assert (await Reading(person).run()).done["state"] == "complete"


async def test_an_engine_that_stands_still_is_replaced(site, person):
    async with standing_still(site, person) as (engine, readings, tasks):
        stopped = time.monotonic()
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*tasks)
        assert any(reading.done["state"] == "interrupted" for reading in readings)
        await another(site, "llamacpp_server", engine)
        async with asyncio.timeout(BACK_WITHIN_S - (time.monotonic() - stopped)):
            assert (await Reading(person).run()).done["state"] == "complete"
        await until(lambda: not psutil.pid_exists(engine.pid))


async def test_replies_outlive_a_killed_web_process_and_pages_miss_nothing(site, person):
    async with reading(person) as (readings, tasks):
        web = process(site, "config.asgi")
        web.kill()
        await another(site, "config.asgi", web)
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*tasks)
        assert any(reading.parted for reading in readings)
        assert {reading.done["state"] for reading in readings} == {"complete"}


async def test_a_killed_talker_leaves_replies_that_end_and_another_takes_over(site, person):
    async with standing_still(site, person) as (engine, readings, tasks):
        talker = process(site, "run_talker")
        talker.kill()
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*tasks)
        assert any(reading.done["state"] == "interrupted" for reading in readings)
        await until(lambda: not psutil.pid_exists(engine.pid))
        await another(site, "run_talker", talker)
        async with asyncio.timeout(BACK_WITHIN_S):
            assert (await Reading(person).run()).done["state"] == "complete"


async def test_a_talker_that_stood_still_for_a_while_ends_nothing_twice(site, person):
    async with standing_still(site, person) as (engine, readings, tasks):
        talker = process(site, "run_talker")
        site.suspend_between_writes(talker)
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*tasks)  # its leases ran out
        talker.send_signal(signal.SIGCONT)
        with gone_already():
            engine.resume()
        async with asyncio.timeout(BACK_WITHIN_S):
            assert (await Reading(person).run()).done["state"] == "complete"
        assert all(reading.done["state"] in ENDED for reading in readings)
