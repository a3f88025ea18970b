"""Two web processes of one site share what Redis carries: socket events, limits and the cache."""

import asyncio
import contextlib
import copy
import shutil
import subprocess
import time
import uuid

import httpx
import pytest
import redis

from tests.load.two_hosts import Role
from tests.person import Person
from tests.site import SCRIPTED, environment_of, free_port, own_database, prepare

pytestmark = pytest.mark.timeout(300)
WITHIN_S = 90.0
A_MINUTE = 3
ROWS = f"""
from accounts import demo
demo.create_accounts()
{SCRIPTED}
"""


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory):
    """The address of a server that nobody else uses, so that its counts are those of these two processes."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server")
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    words = ["redis-server", "--save", "", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            until(client.ping)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def until(condition):
    end = time.monotonic() + WITHIN_S
    while True:
        with contextlib.suppress(redis.RedisError, httpx.HTTPError):
            if condition():
                return
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def urls(own_redis, tmp_path_factory):
    """Of the two, over one database and beside one talker."""
    home, ports = tmp_path_factory.mktemp("site"), [free_port(), free_port()]
    found = [f"http://127.0.0.1:{port}" for port in ports]
    with contextlib.ExitStack() as stack:
        environment = environment_of(
            home,
            stack.enter_context(own_database()),
            REDIS_URL=own_redis,
            CHAMSAE_MESSAGES_PER_MINUTE=str(A_MINUTE),
            CHAMSAE_ORIGINS=",".join(found),
        )
        prepare(environment, ROWS)
        lines = [["run_talker"], *(["run_web", "--port", str(port)] for port in ports)]
        for number, line in enumerate(lines):
            stack.callback(Role(line, environment, home / f"{number}.txt").stop)
        for url in found:
            until(lambda url=url: httpx.get(f"{url}/healthz").status_code == 200)
        yield found


@contextlib.contextmanager
def at_both(urls, name):
    """The person, signed in at the first: as seen from there and, under the same session, from the second."""
    with contextlib.closing(Person(urls[0], name)) as first, contextlib.closing(copy.copy(first)) as second:
        second.url = urls[1]
        second.http = httpx.Client(
            base_url=second.url, cookies=first.http.cookies, headers={"Accept-Language": "en"}, timeout=WITHIN_S
        )
        yield first, second


async def test_what_is_said_at_one_is_read_at_the_other_while_it_is_written(urls):
    with at_both(urls, "chatter") as (first, second):
        conversation = first.new_conversation()
        async with asyncio.timeout(WITHIN_S), first.chat(conversation) as here, second.chat(conversation) as there:
            await here.send(type="message.send", text="Tell me all, slowly.", key=uuid.uuid4().hex, parent=None)
            (pieces, whole), read = await asyncio.gather(heard_at(here), heard_at(there))
    assert "".join(pieces) == whole
    assert read[1] == whole
    assert len(read[0]) > 1
    assert "".join(read[0]) == whole


async def heard_at(chat):
    """(pieces, whole text at the end) of the reply to a message that this page or another one sent."""
    pieces = []
    while (event := await chat.receive())["type"] != "reply.done":
        if event["type"] == "reply.chunk":
            pieces.append(event["text"])
    assert event["state"] == "complete"
    return pieces, event["text"]


async def test_a_limit_on_messages_counts_those_at_both(urls):
    with at_both(urls, "annotator") as (first, second):
        conversation = first.new_conversation()
        async with asyncio.timeout(WITHIN_S), first.chat(conversation) as here, second.chat(conversation) as there:
            is_counted = False
            while not is_counted:  # again where a new minute, with counts of its own, began meanwhile
                minute = int(time.time() // 60)
                while await answer_to_a_message(here) != "rate_limited":
                    pass
                answer = await answer_to_a_message(there)
                is_counted = int(time.time() // 60) == minute
    assert answer == "rate_limited"


async def answer_to_a_message(chat):
    """The code of its error, or that it was accepted."""
    key = uuid.uuid4().hex
    await chat.send(type="message.send", text="Hello", key=key, parent=None)
    while True:
        event = await chat.receive()
        if event.get("key") == key:
            return event.get("code", event["type"])
