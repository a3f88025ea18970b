"""The engine for a GPU, on the CPU with a tiny policy: its batch against a plain forward pass, and its small v1."""

import asyncio
import json
import math
import os
import random
import signal
import socket
from contextlib import aclosing, asynccontextmanager

import httpx
import psutil
import pytest
import uvicorn
from asgiref.sync import sync_to_async

from chat import policies
from chat.engines.client import OpenAIClient
from chat.engines.engine import Parameters
from chat.engines.transformers import TransformersEngine
from chat.engines.transformers_server import MAX_BODY_BYTES, Application, options_of
from chat.engines.transformers_worker import Worker
from chat.errors import BadPolicy, EngineRefused, TooLong
from chat.prompts.fitting import PolicyPrompt
from tests.chat.engines.batches import job, run
from tests.chat.policies import install

ANY = random.Random(1)
PROMPTS = [[ANY.randrange(3, 380) for _ in range(length)] for length in (3, 40, 700, 7, 1, 90)]


@pytest.fixture(scope="module")
def batch(tiny_policy):
    from chat.engines.transformers_batch import Batch

    batch = Batch(tiny_policy, slots=4)
    batch.ends = frozenset()  # a random model ends anywhere
    return batch


@pytest.fixture(scope="module")
def reference(tiny_policy):
    """Log-probabilities of the next token, by the book."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_policy, dtype=torch.float32).eval()

    def logprobs(ids):
        with torch.no_grad():
            return torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].double(), -1)

    return logprobs


def greedy(reference, ids, count):
    ids = list(ids)
    for _ in range(count):
        ids.append(int(reference(ids).argmax()))
    return ids[-count:]


def test_rows_that_join_and_leave_write_what_each_would_write_alone(batch, reference):
    counts = [10 + 7 * i for i in range(len(PROMPTS))]
    done = run(batch, *[job(ids, max_tokens=count) for ids, count in zip(PROMPTS, counts, strict=True)])
    for ids, count, (written, _, reason, _) in zip(PROMPTS, counts, done, strict=True):
        assert (written, reason) == (greedy(reference, ids, count), "length")
    assert batch.cache is None
    assert batch.rows == []


def test_told_log_probs_are_those_of_a_plain_forward_pass(batch, reference):
    done = run(batch, *[job(ids, temperature=1.0, logprobs=3, max_tokens=8) for ids in PROMPTS])
    for ids, (written, _, _, told) in zip(PROMPTS, done, strict=True):
        assert [token["id"] for token in told] == written
        for place, token in enumerate(told):
            expected = reference(ids + written[:place])
            assert token["logprob"] == pytest.approx(expected[token["id"]].item(), abs=1e-3)
            top = {other["id"]: other["logprob"] for other in token["top_logprobs"]}
            best = expected.topk(3)
            assert top == pytest.approx(dict(zip(best.indices.tolist(), best.values.tolist(), strict=True)), abs=1e-3)


def test_completions_of_one_prompt_are_those_of_seeds_in_a_row_and_read_it_once(batch, monkeypatch):
    alone = [run(batch, job(PROMPTS[1], temperature=1.0, seed=seed))[0][0] for seed in (5, 6, 7)]
    reads = []
    join = batch._join
    monkeypatch.setattr(batch, "_join", lambda prefill: reads.append(len(prefill.rows)) or join(prefill))
    together = run(batch, job(PROMPTS[1], temperature=1.0, seed=5, n=3))
    assert [ids for ids, *_ in together] == alone
    assert len(set(map(tuple, alone))) == 3
    assert reads == [3]


def test_sampling_follows_the_probabilities(batch, reference):
    """Eight hundred first tokens against what the model says, at a temperature, within top_k, within top_p."""
    ids, draws = PROMPTS[0], 800
    expected = reference(ids)
    for changed, wanted in (
        ({"temperature": 0.8}, (expected / 0.8).softmax(-1)),
        ({"temperature": 1.0, "top_k": 3}, _cut(expected.exp(), expected.topk(3).indices)),
        ({"temperature": 1.0, "top_p": 0.5}, _cut(expected.exp(), _nucleus(expected.exp(), 0.5))),
    ):
        seen = [0] * len(wanted)
        for start in range(0, draws, 4):
            for (number,), *_ in run(batch, job(ids, n=4, seed=start, max_tokens=1, **changed)):
                seen[number] += 1
        for number in wanted.topk(3).indices.tolist():
            share = wanted[number].item()
            assert abs(seen[number] / draws - share) < 4 * math.sqrt(share * (1 - share) / draws) + 1e-9
        assert all(wanted[number] > 0 for number, count in enumerate(seen) if count)


def _cut(probabilities, kept):
    """Only the kept ones, which share what there is."""
    mask = probabilities * 0
    mask[kept] = probabilities[kept]
    return mask / mask.sum()


def _nucleus(probabilities, top_p):
    """The fewest most probable ones that reach top_p together."""
    order = probabilities.argsort(descending=True).tolist()
    total, kept = 0.0, []
    for number in order:
        if total >= top_p:
            break
        kept.append(number)
        total += probabilities[number].item()
    return kept


def test_penalties_count_what_the_completion_holds_and_not_its_prompt(batch, reference):
    ids = PROMPTS[4]
    plain = greedy(reference, ids, 20)
    assert max(map(plain.count, plain)) > 10  # repeats itself
    (written, *_), (once, *_) = run(
        batch, job(ids, frequency_penalty=2.0), job([*ids, plain[0]], presence_penalty=2.0, max_tokens=1)
    )
    assert max(map(written.count, written)) < 10
    assert once == [int(reference([*ids, plain[0]]).argmax())]
    counts = {}
    for place, number in enumerate(written):
        logits = reference(ids + written[:place])
        for other, count in counts.items():
            logits[other] -= 2.0 * count
        assert number == int(logits.argmax())
        counts[number] = counts.get(number, 0) + 1


def test_a_stop_string_ends_the_text_before_it_wherever_tokens_break(batch):
    ((_, text, *_),) = run(batch, job(PROMPTS[4], max_tokens=12))
    assert text.count("music") > 3
    for stop in ("c m", "ic music m", " music", "usic"):
        ((_, cut, reason, _),) = run(batch, job(PROMPTS[4], max_tokens=12, stop=("never", stop)))
        assert (cut, reason) == (text[: text.index(stop)], "stop")
    ((_, kept, reason, _),) = run(batch, job(PROMPTS[4], max_tokens=2, stop=(text[2:] + "?",)))
    assert (reason, text.startswith(kept), kept != "") == ("length", True, True)  # held back, then shown


def test_the_token_that_ends_a_reply_is_no_text(tiny_policy, reference):
    from chat.engines.transformers_batch import Batch

    batch = Batch(tiny_policy, slots=1)
    assert batch.ends == {2}
    batch.ends = frozenset(greedy(reference, PROMPTS[0], 5)[-1:])
    ((written, text, reason, _),) = run(batch, job(PROMPTS[0]))
    end = written.index(next(iter(batch.ends)))
    assert (reason, end) == ("stop", len(written) - 1)
    assert text == batch.tokenizer.decode(written[:-1]).rstrip("\ufffd")


def test_text_is_whole_characters(batch):
    from chat.engines.transformers_batch import Text

    ids = batch.tokenizer.encode("참새 🐦 참 \ufffd!", add_special_tokens=False).ids
    text = Text(batch.tokenizer, [], ())
    shown = [text.add(number)[0] for number in ids] + [text.rest()]
    assert "".join(shown) == "참새 🐦 참 \ufffd!"
    half = Text(batch.tokenizer, [], ())
    assert "".join(half.add(number)[0] for number in ids[:2]) + half.rest() == ""


def test_a_cancelled_row_leaves_at_the_next_step_and_a_failed_step_ends_all_with_a_word(batch, monkeypatch):
    told = []
    (first,), (second,) = (batch.add(job(ids, max_tokens=500), told.append) for ids in PROMPTS[:2])
    for _ in range(4):
        batch.work()
    assert batch.rows == [first, second]
    first.is_cancelled = True
    batch.work()
    assert batch.rows == [second]
    monkeypatch.setattr(batch, "_step", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        batch.work()
    assert "ZeroDivisionError" in told[-1].error
    monkeypatch.undo()
    assert batch.is_idle
    assert run(batch, job(PROMPTS[0]))[0][2] == "length"


# --- its server -------------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_frees_its_row(batch):
    worker = Worker(batch, asyncio.get_running_loop())
    worker.start()
    endless = 1 << 20
    server = uvicorn.Server(
        options_of(Application({"key": "k", "context_tokens": 2 * endless, "slots": 4}, batch, worker), "127.0.0.1")
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        client = OpenAIClient(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", "k", keep_alive=False)
        body = {"prompt": PROMPTS[1], "stream": True}
        async with aclosing(client.stream("completions", body | {"max_tokens": endless, "n": 2}, 2)) as pieces:
            await anext(pieces)
        async with asyncio.timeout(20):
            while not batch.is_idle:  # others are served meanwhile
                assert [piece async for piece in client.stream("completions", body | {"max_tokens": 2})]
        assert worker.under_way == 0
        await client.close()
        server.should_exit = True
        await serving


# --- the whole engine -------------------------------------------------------------------------------------------


@asynccontextmanager
async def started(policy, ends=(0,)):
    """The engine; `ends`: the exit codes that its child may have."""
    engine = TransformersEngine(policy)
    await engine.start("the key")
    try:
        yield engine
    finally:
        await engine.stop()
        assert not engine.is_running()
        assert engine._process.returncode in ends
        assert not psutil.pid_exists(engine.pid)


async def read(engine, ids, **parameters):
    prompt = PolicyPrompt([], ids, len(ids))
    return [piece async for piece in engine.stream(prompt, Parameters(**parameters))]


async def read_many(engine, ids, n, **parameters):
    prompt, texts = PolicyPrompt([], ids, len(ids)), [""] * n
    async for piece in engine.stream_many(prompt, Parameters(**parameters), n):
        texts[piece.index] += piece.text
    return texts


@pytest.mark.django_db(transaction=True)
async def test_the_engine_serves_refuses_and_lets_go(tiny_policy, settings):
    """One child for all of it: it takes a while to start."""
    settings.CHAT_CONTEXT_TOKENS, settings.CHAT_ENGINE_SLOTS = 512, 2
    policy = await sync_to_async(install)(tiny_policy, "tiny-transformers")
    async with started(policy) as engine:
        assert await engine.is_healthy()
        await _strangers_get_nothing(engine)
        await _bad_requests_are_refused(engine)
        await _poison_costs_no_other_stream(engine)
        seeded = [await read(engine, PROMPTS[1], temperature=1.0, seed=s, max_completion_tokens=16) for s in (3, 4)]
        texts = ["".join(piece.text for piece in pieces) for pieces in seeded]
        assert await read_many(engine, PROMPTS[1], 2, temperature=1.0, seed=3, max_completion_tokens=16) == texts
        tokens = [
            token
            for piece in await read(engine, PROMPTS[0], max_completion_tokens=6, top_logprobs=2)
            for token in piece.tokens
        ]
        assert [len(token.top) for token in tokens] == [2] * len(tokens)
        assert len(tokens) >= 1
        full = (await read(engine, [5] * 500, max_completion_tokens=500, temperature=0))[-1]
        assert full.finish_reason == "stop" or full.completion_tokens == 12  # the context is full


async def _strangers_get_nothing(engine):
    async with httpx.AsyncClient(trust_env=False) as anybody:
        for key in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer 참새".encode()}):
            asked = await anybody.post(f"{engine.url}/completions", json={"prompt": [5]}, headers=key)
            assert asked.status_code == 401
        known = {"Authorization": "Bearer the key"}
        assert (await anybody.get(f"{engine.url}/models", headers=known)).status_code == 404
        for body in (b"", b"[]", b"{", b'{"prompt": [5]}', b'{"prompt": "text", "stream": true}'):
            asked = await anybody.post(f"{engine.url}/completions", content=body, headers=known)
            assert (asked.status_code, asked.json()["error"]["type"]) == (400, "invalid_request_error")
        shown = psutil.Process(engine.pid)
        assert "the key" not in " ".join([*shown.cmdline(), *shown.environ().values()])


async def _bad_requests_are_refused(engine):
    good = {"prompt": [5], "stream": True, "max_tokens": 1}
    odd = {
        **{"n": 3, "max_tokens": 0, "temperature": float("nan"), "top_p": 0, "top_k": -1, "presence_penalty": 2.1},
        **{"frequency_penalty": -2.1, "seed": -2, "stop": [""], "logprobs": 51, "prompt": [True], "stream": False},
    }
    key = {"Authorization": "Bearer the key"}
    async with httpx.AsyncClient(trust_env=False, headers=key) as client:
        for name, value in odd.items():
            asked = await client.post(f"{engine.url}/completions", content=json.dumps({**good, name: value}))
            assert (asked.status_code, name in asked.json()["error"]["message"]) == (400, True), name
        absent = dict.fromkeys(("n", "temperature", "top_p", "seed", "stop", "logprobs"))
        asked = await client.post(f"{engine.url}/completions", json=good | absent)
        assert (asked.status_code, asked.text.endswith("\n\ndata: [DONE]\n\n")) == (200, True)
        asked = await client.post(f"{engine.url}/completions", content=b" " * (MAX_BODY_BYTES + 1))
        assert asked.status_code == 413
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(engine.url).port)
    writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    assert await engine.is_healthy()


async def _poison_costs_no_other_stream(engine):
    steady = asyncio.create_task(read(engine, PROMPTS[0], max_completion_tokens=150, temperature=1.0, seed=1))
    for ids, error in (([], EngineRefused), ([999_999], EngineRefused), ([-5], EngineRefused), ([5] * 512, TooLong)):
        with pytest.raises(error):
            await read(engine, ids, max_completion_tokens=4)
    last = (await steady)[-1]
    assert last.finish_reason == "stop" or last.completion_tokens == 150


@pytest.mark.django_db(transaction=True)
async def test_the_child_ends_on_sigterm_when_its_streams_have_ended_and_leaves_ctrl_c_to_its_parent(
    tiny_policy, settings
):
    settings.CHAT_CONTEXT_TOKENS = 1024
    policy = await sync_to_async(install)(tiny_policy, "tiny-sigterm")
    async with started(policy, ends=(-signal.SIGTERM,)) as engine:
        await _signal_a_stream(engine, signal.SIGINT)
        assert await engine.is_healthy()
        await _signal_a_stream(engine, signal.SIGTERM)
        await engine._process.wait()


async def _signal_a_stream(engine, number):
    """The child gets the signal while it writes, and the stream is whole."""
    stream = engine.stream(PolicyPrompt([], PROMPTS[4], 1), Parameters(temperature=0, max_completion_tokens=500))
    async with aclosing(stream) as pieces:
        await anext(pieces)
        os.kill(engine.pid, number)
        last = [piece async for piece in pieces][-1]
    assert (last.finish_reason, last.completion_tokens) == ("length", 500)


@pytest.mark.django_db(transaction=True)
async def test_a_policy_without_safetensors_does_not_start(tiny_policy):
    policy = await sync_to_async(install)(tiny_policy, "tiny-nosafetensors")
    (policies.directory(policy) / "model.safetensors").unlink()
    with pytest.raises(BadPolicy):
        await TransformersEngine(policy).start("k")
