"""A program with a key, and a talker whose engine answers canned text."""

import pytest
from django.core.cache import cache

from chat.engines.scripted import Script, ScriptedEngine
from chat.models import Policy
from tests.api.program import Program
from tests.chat.talkers import talking
from tests.people import make_person


@pytest.fixture(autouse=True)
def _small_and_fresh(settings):
    cache.clear()
    settings.CHAT_ENGINE_THREADS, settings.CHAT_ENGINE_SLOTS = 1, 8


@pytest.fixture
def alice(db):
    return make_person("alice")


@pytest.fixture
def script(monkeypatch):
    """What the scripted engine does in this test."""
    script = Script(seconds_a_token=0.001, tokens=12)
    monkeypatch.setattr(ScriptedEngine, "script", script)
    return script


@pytest.fixture
def scripted_policy(db, script):
    return Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)


@pytest.fixture
def program(alice):
    return Program(alice)


@pytest.fixture
async def answering(transactional_db, scripted_policy):
    """A talker beside the test."""
    async with talking() as talker:
        yield talker
