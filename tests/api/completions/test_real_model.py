"""Plain completions of a real, tiny model by each engine: its probabilities against those that torch computes."""

import math
import re

import pytest
from asgiref.sync import sync_to_async

from chat import policies
from tests.chat.policies import install
from tests.chat.talkers import talking
from tests.chat.tokenizers import STRICT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]
PROMPT = "The river is 참 old 🙂 and"


ENGINES = ("chat.engines.llamacpp.LlamaCppEngine", "chat.engines.transformers.TransformersEngine")


@pytest.fixture(params=ENGINES)
def tiny(request, tiny_policy, db, settings):
    settings.CHAT_ENGINE = request.param
    return install(tiny_policy, "tiny-api", is_live=True)


def reference(directory, ids):
    """Natural log-probabilities of each id after those before it, and of all tokens after the last."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)
    return [logprobs[place, number].item() for place, number in enumerate(ids[1:])], logprobs[-1]


async def _an_echo_tells_how_probable_the_prompt_is(program, tiny_policy):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    ids = tokenizer(PROMPT, add_special_tokens=False)["input_ids"]
    wanted, after = await sync_to_async(reference)(tiny_policy, ids)
    told = await program.told("completions", model="live", prompt=PROMPT, echo=True, max_tokens=0, logprobs=3)
    same = await program.told("completions", model="live", prompt=ids, echo=True, max_tokens=0, logprobs=3)
    one = await program.told("completions", model="live", prompt=PROMPT, echo=True, max_tokens=1, logprobs=1)
    cut = await program.told("completions", model="live", prompt=PROMPT, max_tokens=5, temperature=0)
    again = await program.told("completions", model="live", prompt=ids, max_tokens=5, temperature=0)
    greedy = await program.told("completions", model="live", prompt=PROMPT, max_tokens=1, temperature=0, logprobs=5)
    choice, shown = told["choices"][0], told["choices"][0]["logprobs"]
    assert (choice["text"], choice["finish_reason"]) == (PROMPT, "length")
    assert "".join(shown["tokens"]) == PROMPT
    assert told["usage"] == {"prompt_tokens": len(ids), "completion_tokens": 0, "total_tokens": len(ids)}
    assert shown["token_logprobs"][0] is None
    assert shown["top_logprobs"][0] is None
    assert shown["token_logprobs"][1:] == pytest.approx(wanted, abs=1e-4)
    assert all(PROMPT[at:].startswith(token) for at, token in zip(shown["text_offset"], shown["tokens"], strict=True))
    assert same["choices"][0]["logprobs"]["token_logprobs"][1:] == pytest.approx(wanted, abs=1e-4)
    assert one["choices"][0]["logprobs"]["token_logprobs"][1 : len(ids)] == pytest.approx(wanted, abs=1e-4)
    assert len(one["choices"][0]["logprobs"]["tokens"]) == len(ids) + 1
    assert again["usage"]["prompt_tokens"] == cut["usage"]["prompt_tokens"] == len(ids)
    best = after.max().item()
    assert math.isclose(greedy["choices"][0]["logprobs"]["token_logprobs"][0], best, abs_tol=0.05)  # bf16 weights


async def _echo_stop_and_probabilities_together_spell_the_text_whole_and_as_a_stream(program, tiny_policy):
    asked = {"model": "live", "prompt": PROMPT, "max_tokens": 24, "temperature": 0, "logprobs": 2}
    plain = (await program.told("completions", **asked))["choices"][0]
    stop = next(re.finditer("[ -~]{3}", plain["text"][4:]))[0]
    whole = (await program.told("completions", **asked, stop=stop, echo=True))["choices"][0]
    events = await program.events("completions", **asked, stop=stop, echo=True)
    assert whole["text"] == PROMPT + plain["text"].split(stop)[0]
    assert whole["finish_reason"] == "stop"
    shown = whole["logprobs"]
    assert "".join(shown["tokens"]) == whole["text"]
    starts = [sum(map(len, shown["tokens"][:place])) for place in range(len(shown["tokens"]))]
    assert shown["text_offset"] == starts
    choices = [event["choices"][0] for event in events]
    assert "".join(choice["text"] for choice in choices) == whole["text"]
    for name in ("tokens", "token_logprobs", "text_offset"):
        streamed = [value for choice in choices if choice["logprobs"] for value in choice["logprobs"][name]]
        assert streamed == (shown[name] if name != "token_logprobs" else pytest.approx(shown[name], abs=1e-3)), name


async def _a_seed_gives_the_same_and_choices_differ(program, tiny_policy):
    asked = {"model": "live", "prompt": PROMPT, "max_tokens": 12, "temperature": 1.5, "n": 3, "seed": 7}
    first = await program.told("completions", **asked)
    second = await program.told("completions", **asked)
    other = await program.told("completions", **{**asked, "seed": 8})
    best = await program.told("completions", **{**asked, "n": 1, "best_of": 3, "logprobs": 0})
    three = await program.told("completions", **{**asked, "logprobs": 0})
    events = await program.events("completions", **{**asked, "n": 1})
    texts = [choice["text"] for choice in first["choices"]]
    assert [choice["text"] for choice in second["choices"]] == texts
    assert [choice["text"] for choice in other["choices"]] != texts
    assert len(set(texts)) == 3
    means = {c["text"]: sum(c["logprobs"]["token_logprobs"]) / len(c["logprobs"]["tokens"]) for c in three["choices"]}
    assert best["choices"][0]["text"] == max(means, key=means.__getitem__)
    assert best["usage"]["completion_tokens"] == three["usage"]["completion_tokens"]
    assert "".join(event["choices"][0]["text"] for event in events) == texts[0]
    assert all("\ufffd" not in event["choices"][0]["text"] or "\ufffd" in texts[0] for event in events)


async def test_a_real_engine_answers_what_it_is_asked(program, tiny, tiny_policy, subtests):
    """One engine for all: each of them starts for seconds."""
    async with talking():
        for check in (
            _an_echo_tells_how_probable_the_prompt_is,
            _echo_stop_and_probabilities_together_spell_the_text_whole_and_as_a_stream,
            _a_seed_gives_the_same_and_choices_differ,
        ):
            with subtests.test(check.__name__):
                await check(program, tiny_policy)


async def test_what_a_request_has_wrong_for_this_model_alone_is_a_bad_request_that_says_so(program, tiny_policy):
    strict = await sync_to_async(install)(tiny_policy, "tiny-strict", is_live=True)
    (policies.directory(strict) / "chat_template.jinja").write_text(STRICT)
    asked = [{"role": "user", "content": "Hello"}] * 2
    status, error = await program.refused("chat/completions", model="live", messages=asked)
    assert (status, error["type"], error["param"], error["code"]) == (
        400,
        "invalid_request_error",
        "messages",
        "turns_refused",
    )
    assert "Roles must alternate" in error["message"]
    status, error = await program.refused("completions", model="live", prompt=[1, 384])
    assert (status, error["param"], error["code"]) == (400, "prompt", "unknown_tokens")
    assert error["message"] == "Token ids of this model are numbers from 0 to 383."
