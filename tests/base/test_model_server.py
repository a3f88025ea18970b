"""A model server's adapters and health, against one that behaves as vLLM does."""

import json

import httpx
import pytest

from base.model_server import LOOK_S, AdapterUnseen, ServerAway, ServerClient, ServerFailed, ServerRefused
from tests.chat.engines.fake_vllm import FakeVllm, serving


@pytest.fixture(scope="module")
def running():
    with serving() as (one,):
        yield one


@pytest.fixture
async def client(running):
    made = ServerClient(running.url, "")
    yield made
    await made.close()
    running.behave(max_lora_rank=16, health=200, takes_adapters=True)
    running.clear()


@pytest.fixture
def adapter(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4}))
    return str(tmp_path)


async def test_an_adapter_is_listed_with_its_base_and_loaded_once(client, running, adapter):
    await client.load_adapter("one", adapter)
    await client.load_adapter("one", adapter)  # another process was first
    models = await client.models()
    assert list(models) == ["base", "one"]
    assert (models["one"].parent, models["one"].root) == ("base", adapter)
    await client.unload_adapter("one")
    await client.unload_adapter("one")  # it is gone
    assert running.names() == ["base"]


async def test_those_of_one_name_s_beginning_leave_except_one(client, running, adapter):
    for name in ("run-1-a", "run-1-b", "run-11-a", "policy-2"):
        await client.load_adapter(name, adapter)
    await client.unload_adapters("run-1-", but="run-1-b")
    assert running.names() == ["base", "run-1-b", "run-11-a", "policy-2"]


async def test_why_an_adapter_is_not_taken(client, running, adapter):
    with pytest.raises(AdapterUnseen, match="sees no adapter at /nowhere"):
        await client.load_adapter("one", "/nowhere")
    running.behave(max_lora_rank=2)
    with pytest.raises(ServerRefused, match="greater than max_lora_rank"):
        await client.load_adapter("one", adapter)
    running.behave(health=503)  # its engine is dead: the same status means that it will not do for now
    with pytest.raises(ServerAway, match="HTTP 500"):
        await client.load_adapter("one", adapter)


async def test_only_an_answer_is_waited_for_for_long(monkeypatch):
    limits = []

    async def handle(self, request):
        limits.append(request.extensions["timeout"])
        raise httpx.ConnectTimeout("nobody")

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
    client = ServerClient("http://127.0.0.1:9/v1", "")
    with pytest.raises(ServerAway, match="ConnectTimeout"):
        await client.post("completions", {}, 600.0)
    assert (limits[0]["read"], limits[0]["connect"]) == (600.0, LOOK_S)
    await client.close()


async def test_a_failure_of_the_server_is_told_from_a_refusal(client, running, adapter):
    running.behave(failing_loads=1)
    with pytest.raises(ServerFailed, match="out of memory"):
        await client.load_adapter("one", adapter)
    running.behave(max_lora_rank=2)  # of the same status
    with pytest.raises(ServerRefused, match="greater than max_lora_rank") as caught:
        await client.load_adapter("one", adapter)
    assert not isinstance(caught.value, ServerFailed)


async def test_another_key_is_told_from_silence(client, running):
    assert not await client.has_another_key()
    running.behave(key="of the servers")
    assert await client.has_another_key()
    running.behave(key="")
    nobody = ServerClient(FakeVllm(port=9).url, "")
    assert not await nobody.has_another_key()
    await nobody.close()


async def test_a_server_that_is_not_there(adapter):
    client = ServerClient(FakeVllm(port=9).url, "")
    assert await client.models() is None
    assert not await client.is_well()
    await client.unload_adapters("run-1-")
    with pytest.raises(ServerAway, match="ConnectError"):
        await client.load_adapter("one", adapter)
    await client.close()
