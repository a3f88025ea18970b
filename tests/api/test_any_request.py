"""No request makes the server fail, and no answer has a status that its description does not name, whoever asks."""

import asyncio
import threading
from contextlib import contextmanager

import pytest

from accounts import keys
from accounts.roles import Role
from chat.talker.talker import Talker
from tests.api.fuzzing import fuzz, schemathesis
from tests.people import make_person


@contextmanager
def talking_aside():
    """A talker in a thread of its own, for a test that has no event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="talker of the test")
    thread.start()
    talking = asyncio.run_coroutine_threadsafe(Talker().run(), loop)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(talking.cancel)
        asyncio.run_coroutine_threadsafe(until_none_is_left(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def until_none_is_left():
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.02)


@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("role", ["", Role.CHATTER, Role.ADMIN])
def test_whoever_asks_whatever(scripted_policy, script, role):
    from config.asgi import django_application

    script.tokens, script.seconds_a_token = 4, 0
    secret = ""
    if role:
        scopes = ["admin"] if role is Role.ADMIN else []
        _, secret = keys.make(make_person("somebody", role), "test", scopes=scopes, requests_per_minute=1_000_000)
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", django_application)
    with talking_aside():
        assert fuzz(schema, secret, 2, derandomize=True) > 80
