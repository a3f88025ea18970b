"""A body that is too large is refused before the application has read it, whoever sends it and wherever to."""

import json

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.urls import reverse

from accounts import keys
from config.body_limits import BodyLimits, limit_of
from tests.config.routes import address, pages
from tests.people import make_person

pytestmark = pytest.mark.django_db
MB = 2**20
BLOCK = b"x" * (MB // 4)


class Request:
    """One request to an application that reads all that it is given."""

    def __init__(self, path, *, blocks, declared=None, **headers):
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given |= {"content-length": str(declared)} if declared is not None else {"transfer-encoding": "chunked"}
        self.scope = {"type": "http", "path": path, "method": "POST"}
        self.scope["headers"] = [(name.encode(), value.encode()) for name, value in given.items()]
        self.blocks, self.taken, self.read, self.sent = blocks, 0, 0, []
        async_to_sync(BodyLimits(self.app))(self.scope, self.receive, self.send)

    async def app(self, scope, receive, send):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.read += len(message["body"])
            if not message["more_body"]:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                return

    async def receive(self):
        self.taken += 1
        return {"type": "http.request", "body": BLOCK, "more_body": self.taken < self.blocks}

    async def send(self, message):
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"]


def session_of(name):
    client = Client()
    client.force_login(make_person(name))
    return f"sessionid={client.cookies['sessionid'].value}"


def test_a_declared_length_is_refused_on_every_route_before_a_byte_is_read():
    for name, entry in pages().items():
        request = Request(address(name, entry), blocks=1200, declared=300 * MB)
        assert (request.status, request.taken) == (413, 0), name


def test_without_a_declared_length_no_more_is_read_than_the_limit():
    request = Request("/sign-in/", blocks=1200)
    assert request.status == 413
    assert request.taken <= limit_of("/sign-in/") // len(BLOCK) + 1


@pytest.mark.parametrize("path", ["/conversations/import/", "/files/", "/v1/files", "/no/such/page/"])
def test_a_stranger_sends_no_file_whatever_the_cookie_says(path):
    for headers in ({}, {"cookie": "sessionid=made-up"}, {"authorization": "Bearer made-up"}):
        assert Request(path, blocks=40, declared=10 * MB, **headers).status == 413


def test_somebody_who_is_signed_in_sends_a_file_up_to_its_limit():
    cookie, path = session_of("sora"), reverse("conversation_import")
    assert Request(path, blocks=40, declared=10 * MB, cookie=cookie).status == 200
    assert Request(path, blocks=40, cookie=cookie).read == 10 * MB
    assert Request(path, blocks=400, declared=100 * MB, cookie=cookie).status == 413
    assert Request("/sign-in/", blocks=40, declared=10 * MB, cookie=cookie).status == 413


def test_a_program_with_a_key_uploads_and_another_body_is_refused_in_json():
    _key, secret = keys.make(make_person("sora"), "test")
    bearer = {"authorization": f"Bearer {secret}"}
    assert Request("/v1/files", blocks=40, declared=10 * MB, **bearer).status == 200
    refused = Request("/v1/chat/completions", blocks=40, declared=10 * MB, **bearer)
    assert refused.status == 413
    assert "larger" in json.loads(refused.sent[1]["body"])["error"]["message"]


def test_a_small_body_passes_for_anybody():
    assert Request("/sign-in/", blocks=1, declared=len(BLOCK)).status == 200
