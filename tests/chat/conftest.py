"""Fixtures of the chat's tests: people, conversations, and policies that answer."""

import pytest
from asgiref.sync import SyncToAsync
from django.core.cache import cache
from django.db import connections

from accounts.models import User
from chat.engines.scripted import Script, ScriptedEngine
from chat.models import Conversation, Policy
from chat.websocket import tail
from tests.chat.policies import install


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


@pytest.fixture
def tiny_live_policy(tiny_policy):
    return install(tiny_policy, "tiny-base", is_live=True)


@pytest.fixture
def alice():
    return User.objects.create_user("alice", password="not the demo one")


@pytest.fixture
def conversation(alice):
    return Conversation.objects.create(owner=alice)
