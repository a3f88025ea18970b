"""A program with a key, and a talker whose engine says canned text."""

import json

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.test import AsyncClient

from accounts import keys
from accounts.models import User
from accounts.roles import GROUPS, Role
from chat.engines.scripted import Script, ScriptedEngine
from chat.models import Policy
from tests.chat.talkers import talking


@pytest.fixture(autouse=True)
def _small_and_fresh(settings):
    cache.clear()
    settings.CHAT_ENGINE_THREADS, settings.CHAT_ENGINE_SLOTS = 1, 8


def make_person(name, role=Role.CHATTER):
    user = User.objects.create_user(name, password="a long enough password")
    if role in GROUPS:
        user.groups.add(Group.objects.get_or_create(name=role.value)[0])
    return user


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


class Program:
    """A client of the API, in the process of the test, through every middleware."""

    def __init__(self, owner, **options):
        self.key, self.secret = keys.make(owner, "test", **options)
        self.http = AsyncClient()
        self.headers = {"authorization": f"Bearer {self.secret}"}

    async def post(self, path, **body):
        return await self.send(path, body)

    async def send(self, path, body, **headers):
        given = {**self.headers, **headers}
        return await self.http.post(f"/v1/{path}", body, content_type="application/json", headers=given)

    async def get(self, path):
        return await self.http.get(f"/v1/{path}", headers=self.headers)

    async def delete(self, path):
        return await self.http.delete(f"/v1/{path}", headers=self.headers)

    async def told(self, path, **body):
        """The answer to a request that has to go well."""
        response = await self.post(path, **body)
        assert response.status_code == 200, response.content
        return response.json()

    async def refused(self, path, **body):
        """(status, error) of a request that has to go wrong."""
        response = await self.post(path, **body)
        return response.status_code, response.json()["error"]

    async def events(self, path, **body):
        """The objects of a stream; its end is checked."""
        response = await self.post(path, stream=True, **body)
        assert response.status_code == 200, response.content if not response.streaming else "a stream"
        assert response["Content-Type"] == "text/event-stream; charset=utf-8"
        text = b"".join([part async for part in response.streaming_content]).decode()
        *lines, last = text.removesuffix("\n\n").split("\n\n")
        assert last == "data: [DONE]", last
        assert all(line.startswith("data: {") and "\n" not in line for line in lines)
        return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.fixture
def program(alice):
    return Program(alice)


@pytest.fixture
async def answering(transactional_db, scripted_policy):
    """A talker beside the test."""
    async with talking() as talker:
        yield talker


in_database = sync_to_async
