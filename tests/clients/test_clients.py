"""OpenAI's clients of 2023 and of today, unchanged, against a running site."""

import asyncio
import json
import socket
import sqlite3
import time
from datetime import UTC, datetime

import httpx
import pytest

from tests.api.fuzzing import fuzz, schemathesis

pytestmark = [pytest.mark.clients, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    "name",
    [
        "version",
        "models",
        "chat",
        "chat_with_every_parameter",
        "chat_stream",
        "chat_stream_helper",
        "completions",
        "completions_stream",
        "pages",
        "errors",
    ],
)
def test_a_program_of_today_runs(new, name):
    new.program("today.py", name)


@pytest.mark.parametrize("name", ["models", "chat", "completions", "errors"])
def test_a_program_of_2023_runs(old, name):
    old.program("of_2023.py", name)


def test_a_key_past_its_limit_is_told_when_to_come_back(old, new, keys):
    new.program("today.py", "limited", OPENAI_API_KEY=keys["limited"])
    old.program("of_2023.py", "limited", OPENAI_API_KEY=keys["limited"])


def test_the_command_line_of_2023_completes(old):
    whole = old.openai("api", "completions.create", "-m", "davinci", "-p", "Once upon a time")
    assert whole.startswith("Once upon a time ")
    streamed = old.openai("api", "completions.create", "-m", "davinci", "-p", "Once upon a time", "--stream")
    assert streamed.strip() == whole.strip()
    several = old.openai(
        *("api", "completions.create", "-e", "davinci", "-p", "Once", "-n", "2", "-M", "3", "-t", "0.5", "-P", "0.9"),
        *("--stop", "zzz", "--logprobs", "1"),
    )
    assert several.count("Once") == 2
    nothing = old.openai("api", "completions.create", "-m", "davinci")
    assert nothing.strip()


def test_the_command_line_of_2023_chats(old):
    asked = ("api", "chat_completions.create", "-m", "gpt-3.5-turbo", "-g", "user", "Hi")
    assert old.openai(*asked).strip() == old.openai(*asked, "--stream").strip() != ""


def test_the_command_line_of_2023_lists_models(old):
    listed = json.loads(old.openai("api", "models.list"))
    assert {model["id"] for model in listed["data"]} >= {"live", "davinci"}
    assert json.loads(old.openai("api", "models.get", "-i", "davinci"))["id"] == "davinci"
    assert json.loads(old.openai("api", "engines.get", "-i", "davinci"))["object"] == "engine"
    refused = old.run([old.python.parent / "openai", "api", "models.delete", "-i", "scripted"], fails=True)
    assert "not yours" in refused


# --- the bytes of a stream, and whoever goes away -----------------------------------------------------------------


def rows(site, question):
    if "DATABASE_URL" in site.environment:
        pytest.skip("looks into the SQLite file of the site")
    with sqlite3.connect(site.home / "chamsae.sqlite3", timeout=20) as database:
        return database.execute(question).fetchall()


def newest(site):
    return rows(site, "SELECT state, ended_at FROM chat_ticket ORDER BY queued_at DESC LIMIT 1")[0]


def seconds_to_the_end(site, left_at):
    """From a moment to the end of the newest ticket, by what the site itself wrote down."""
    deadline = time.monotonic() + 15
    while (row := newest(site))[0] != "ended":
        assert time.monotonic() < deadline, "the engine was not freed"
        time.sleep(0.05)
    ended_at = datetime.fromisoformat(row[1]).replace(tzinfo=UTC).timestamp()
    return ended_at - left_at


def test_a_stream_comes_in_chunks_as_it_is_made(site, keys):
    body = {"model": "slow", "prompt": "x", "max_tokens": 20, "stream": True}
    arrivals = []
    with httpx.stream("POST", f"{site.url}/v1/completions", json=body, headers=bearer(keys)) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["transfer-encoding"] == "chunked"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["cache-control"] == "no-cache"
        assert "content-encoding" not in response.headers
        for _ in response.iter_lines():
            arrivals.append(time.monotonic())
    assert arrivals[-1] - arrivals[0] > 0.5, "it all came at once"


@pytest.mark.parametrize("stream", [True, False])
def test_whoever_goes_away_frees_the_engine_within_a_second(site, keys, stream):
    body = json.dumps({"model": "slow", "prompt": "x", "max_tokens": 1500, "stream": stream}).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {keys['person']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    before = len(rows(site, "SELECT id FROM chat_ticket"))
    with socket.create_connection(("127.0.0.1", site.port)) as wire:
        wire.sendall(head.encode() + body)
        deadline = time.monotonic() + 15
        while len(rows(site, "SELECT id FROM chat_ticket")) == before or newest(site)[0] != "granted":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        if stream:
            assert b"200 OK" in wire.recv(4096)
        time.sleep(0.3)  # the completion is under way, and takes a minute and more
    left_at = time.time()
    assert seconds_to_the_end(site, left_at) < 1.0


def test_today_s_client_that_leaves_a_stream_frees_the_engine_too(site, new):
    left_at = float(new.program("today.py", "leaves"))
    assert seconds_to_the_end(site, left_at) < 1.0


def test_a_form_that_is_none_is_refused_in_json_and_not_by_a_closed_line(site, keys):
    headers = bearer(keys) | {"Content-Type": "multipart/form-data; boundary=x"}
    response = httpx.post(f"{site.url}/v1/files", content=b"--x--\r\n", headers=headers)
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")


def test_requests_that_wait_block_nobody(site, keys):
    """More of them than a pool of threads has, and a page is still answered at once."""

    async def ask_many():
        async with httpx.AsyncClient(timeout=30, headers=bearer(keys)) as http:
            body = {"model": "slow", "prompt": "x", "max_tokens": 60}
            waiting = [asyncio.create_task(http.post(f"{site.url}/v1/completions", json=body)) for _ in range(8)]
            await asyncio.sleep(1)
            asked_at = time.monotonic()
            assert (await http.get(f"{site.url}/v1/models")).status_code == 200
            assert time.monotonic() - asked_at < 1.5
            assert {(await each).status_code for each in waiting} == {200}

    asyncio.run(ask_many())


@pytest.mark.parametrize("who", ["", "person", "admin"])
def test_whoever_asks_whatever_at_length(site, keys, who):
    schema = schemathesis.openapi.from_url(f"{site.url}/v1/openapi.json")
    asked = fuzz(schema, keys.get(who, ""), 12)
    assert asked > 500


def bearer(keys, name="person"):
    return {"Authorization": f"Bearer {keys[name]}"}
