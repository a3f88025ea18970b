"""The client of OpenAI-compatible servers against two real ones: llama.cpp's and `transformers serve`."""

import asyncio
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from chat.engines.engine import Parameters
from chat.engines.openai import OpenAIEngine
from chat.errors import EngineDown, EngineError, EngineRefused
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt
from chat.prompts.rendering import Renderer
from tests.site import free_port

pytestmark = pytest.mark.timeout(300)
HELLO = [{"role": "user", "content": "Hello"}]
PATIENCE_S = 200


@dataclass
class Running:
    url: str
    key: str
    model: str
    process: subprocess.Popen


def _llamacpp(directory):
    model = {"gguf": str(directory / "policy.gguf"), "context_tokens": 512, "slots": 4}
    config = {**model, "key": "k", "host": "127.0.0.1", "threads": 1}
    process = subprocess.Popen(
        [sys.executable, "-m", "chat.engines.llamacpp_server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdin.write(json.dumps(config).encode() + b"\n")
    process.stdin.flush()
    url = json.loads(process.stdout.readline())["url"]
    return Running(f"{url}/v1", "k", str(directory / "policy.gguf"), process)


def _transformers(directory):
    if not all(map(importlib.util.find_spec, ("fastapi", "uvicorn"))):
        pytest.skip('`transformers serve` is not installed (pip install "transformers[serving]")')
    port = free_port()
    process = subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("transformers")), "serve", str(directory)),
            *("--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"),
        ],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url, deadline = f"http://127.0.0.1:{port}/v1", time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/models", timeout=5, trust_env=False).status_code == 200:
                return Running(url, "", str(directory), process)
        assert process.poll() is None, "transformers serve ended"
        assert time.monotonic() < deadline, "transformers serve did not start"
        time.sleep(0.3)


@pytest.fixture(scope="module", params=[_llamacpp, _transformers], ids=["llama.cpp", "transformers"])
def server(request, tiny_policy):
    running = request.param(tiny_policy)
    yield running
    for pipe in filter(None, (running.process.stdin, running.process.stdout)):
        pipe.close()
    running.process.kill()
    running.process.wait()


@pytest.fixture
def engine(server, settings):
    settings.CHAT_ENGINE_URLS, settings.CHAT_ENGINE_KEY = [server.url], server.key
    settings.CHAT_ENGINE_MODEL = server.model
    return OpenAIEngine(Policy(name="elsewhere", version=1, is_live=True))


async def read(engine, messages=HELLO, **parameters):
    """All pieces, and the engine stays open."""
    prompt = PolicyPrompt(messages, None, 5)
    return [piece async for piece in engine.stream(prompt, Parameters(**parameters))]


def greedy(directory, messages, count):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    renderer = Renderer(directory)
    ids = renderer.ids(messages)
    length = len(ids)
    for _ in range(count):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == 2:
            break
    return length, renderer.tokenizer.decode(ids[length:])


async def test_the_text_is_the_models_and_the_end_has_its_counts(server, engine, tiny_policy):
    await engine.start("")
    pieces = await read(engine, temperature=0, max_completion_tokens=7)
    prompt_tokens, text = await asyncio.to_thread(greedy, tiny_policy, HELLO, 7)
    # Half a character at the end is shown by one server and not by the other.
    assert "".join(piece.text for piece in pieces).rstrip("\ufffd") == text.rstrip("\ufffd")
    assert [bool(piece.finish_reason) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert (pieces[-1].prompt_tokens, pieces[-1].finish_reason) == (prompt_tokens, "length")
    assert 1 <= pieces[-1].completion_tokens <= 7
    await engine.stop()


async def test_no_control_token_of_a_person_reaches_the_server(server, engine):
    """Two more of them would be two tokens more; broken up they are many."""
    counts = []
    for text in ("hello", "hello<|im_end|><|im_start|>"):
        last = (await read(engine, [{"role": "user", "content": text}], max_completion_tokens=1, temperature=0))[-1]
        counts.append(last.prompt_tokens)
    assert counts[1] - counts[0] > 8
    await engine.stop()


async def test_a_closed_stream_is_noticed_upstream(server, engine):
    async with aclosing(engine.stream(PolicyPrompt(HELLO, None, 5), Parameters(max_completion_tokens=400))) as pieces:
        async for _ in pieces:
            break
    process = psutil.Process(server.process.pid)
    async with asyncio.timeout(60):
        while await asyncio.to_thread(_works, process):
            await asyncio.sleep(0.1)
    assert (await read(engine, max_completion_tokens=2))[-1].finish_reason
    await engine.stop()


def _works(process):
    before = sum(process.cpu_times()[:2])
    time.sleep(0.5)
    return sum(process.cpu_times()[:2]) - before > 0.1


async def test_what_a_server_does_not_know_is_refused_or_ignored_and_costs_nothing_else(server, engine):
    """llama.cpp takes every parameter; `transformers serve` refuses some and ignores others."""
    for parameters in (
        {"top_k": 5, "top_logprobs": 2},
        {"presence_penalty": 0.5, "frequency_penalty": 0.5, "seed": 3, "stop": ("never",)},
    ):
        with contextlib.suppress(EngineRefused):
            assert (await read(engine, max_completion_tokens=3, **parameters))[-1].finish_reason
    assert (await read(engine, max_completion_tokens=2))[-1].finish_reason
    assert [one.client.breaker.failures for one in engine._pool.servers] == [0]
    await engine.stop()


async def test_llamacpp_honours_what_it_is_asked(server, engine):
    if server.process.stdin is None:
        pytest.skip("transformers serve knows none of these")
    pieces = await read(engine, temperature=0, max_completion_tokens=6, top_logprobs=3)
    told = [token for piece in pieces for token in piece.tokens]
    assert told
    assert all(len(token.top) == 3 and token.logprob <= 0 for token in told)
    text = "".join(piece.text for piece in await read(engine, temperature=0, max_completion_tokens=30))
    stop = text[len(text) // 2 :][:2]
    stopped = await read(engine, temperature=0, max_completion_tokens=30, stop=(stop,))
    assert "".join(piece.text for piece in stopped) == text[: text.index(stop)]
    assert stopped[-1].finish_reason == "stop"
    one, same, other = [
        "".join(piece.text for piece in await read(engine, temperature=1.0, seed=seed, max_completion_tokens=20))
        for seed in (1, 1, 2)
    ]
    assert one == same != other
    await engine.stop()


async def test_a_server_that_dies_in_the_middle_is_down(server, engine):
    """The last test of each server."""
    with pytest.raises(EngineError):
        await _read_and_kill(engine, server.process)
    with pytest.raises(EngineDown):
        await read(engine)
    assert not await engine.is_healthy()
    await engine.stop()


async def _read_and_kill(engine, process):
    async with aclosing(engine.stream(PolicyPrompt(HELLO, None, 5), Parameters(max_completion_tokens=480))) as pieces:
        async for _ in pieces:
            process.kill()
