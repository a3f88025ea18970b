"""People with sessions, sockets of conversations, policies that answer, and a talker in the test's own loop."""

import asyncio
import json
import shutil
from contextlib import asynccontextmanager, suppress

import pytest
from asgiref.sync import SyncToAsync, sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import cache
from django.db import connections

from accounts.models import User
from chat import policies
from chat.engines.scripted import Script, ScriptedEngine
from chat.models import Conversation, Policy
from chat.talker.talker import Talker
from chat.websocket import tail


@pytest.fixture(autouse=True)
def _small_and_fresh(settings, monkeypatch):
    cache.clear()
    monkeypatch.setattr(tail, "REAP_EVERY_S", 0.3)
    settings.CHAT_ENGINE_THREADS, settings.CHAT_ENGINE_SLOTS = 1, 4


@pytest.fixture(scope="session", autouse=True)
def _no_connection_outlives_the_tests(django_db_setup):
    """The thread of async tests keeps its connection, and PostgreSQL drops no database that somebody uses."""
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture
def script(monkeypatch):
    """What the scripted engine does in this test; quick unless the test says otherwise."""
    script = Script(seconds_a_token=0.001, tokens=12)
    monkeypatch.setattr(ScriptedEngine, "script", script)
    return script


@pytest.fixture
def scripted_policy(script):
    return Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)


def install(tiny_policy, name, is_live=False):
    """The tiny policy as a registered one of the models directory."""
    target = settings.MODELS_DIR / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(tiny_policy, target)
    policy = policies.register(target, name=name, source="test")
    Policy.objects.filter(pk=policy.pk).update(is_live=is_live)
    policy.refresh_from_db()
    return policy


@pytest.fixture
def tiny_live_policy(tiny_policy):
    return install(tiny_policy, "tiny-base", is_live=True)


@pytest.fixture
def alice():
    return User.objects.create_user("alice", password="not the demo one")


@pytest.fixture
def conversation(alice):
    return Conversation.objects.create(owner=alice)


def cookie_of(user):
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


class Socket:
    """The page's end of a websocket, through the whole ASGI application."""

    def __init__(self, path, cookie, origin=None, language="en"):
        from config.asgi import application

        headers = [
            (b"cookie", cookie.encode()),
            (b"origin", (origin or settings.ORIGINS[0]).encode()),
            (b"accept-language", language.encode()),
        ]
        self.communicator = WebsocketCommunicator(application, path, headers)

    async def say(self, **event):
        await self.communicator.send_to(text_data=json.dumps(event))

    async def hear(self, timeout=5):
        return json.loads(await self.communicator.receive_from(timeout))

    async def hear_until(self, kind, timeout=10):
        """Every frame up to the first of that type."""
        heard = []
        async with asyncio.timeout(timeout):
            while not heard or heard[-1]["type"] != kind:
                heard.append(await self.hear(timeout))
        return heard

    async def close_code(self, timeout=5):
        async with asyncio.timeout(timeout):
            while True:
                output = await self.communicator.receive_output(timeout)
                if output["type"] == "websocket.close":
                    return output["code"]


@asynccontextmanager
async def opened(conversation, user, **options):
    cookie = await sync_to_async(cookie_of)(user)
    socket = Socket(f"/ws/chat/{conversation.pk}/", cookie, **options)
    connected, _ = await socket.communicator.connect()
    assert connected
    try:
        yield socket
    finally:
        with suppress(asyncio.CancelledError):
            await socket.communicator.disconnect()


@asynccontextmanager
async def talking():
    """A talker beside the test; its replies end as interrupted when the block does."""
    talker = Talker()
    task = asyncio.create_task(talker.run())
    try:
        yield talker
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
