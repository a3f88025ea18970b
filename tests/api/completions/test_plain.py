"""`/v1/completions` and its address of old, as the clients of 2023 use them."""

import pytest

from api.completions.choices import UnscoredToken
from api.completions.plain import logprobs
from chat.engines.engine import Piece, Token, TokenProbability
from chat.engines.scripted import ScriptedEngine
from chat.models import Ticket
from metering.models import Usage
from tests.api.program import in_database

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "completions"


def texts(told):
    return [choice["text"] for choice in told["choices"]]


async def test_a_text_is_gone_on_from(program, answering, script):
    script.text = "upon a time"
    told = await program.told(PATH, model="live", prompt="Once")
    assert told["object"] == "text_completion"
    assert told["id"].startswith("cmpl-")
    assert told["choices"] == [{"text": " upon a time", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    assert told["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize(
    ("asked", "batch"),
    [
        ({"prompt": "Once"}, [False]),
        ({"prompt": ["Once", "Twice"]}, [True, True]),
        ({"prompt": "Once", "best_of": 3}, [True]),
    ],
)
async def test_several_prompts_or_choices_are_behind_people(program, answering, asked, batch):
    await program.told(PATH, model="live", **asked)
    assert await in_database(list)(Ticket.objects.values_list("is_batch", flat=True)) == batch


async def test_sixteen_tokens_where_nothing_else_is_said(program, answering, script):
    script.tokens = 40
    told = await program.told(PATH, model="live", prompt="Once")
    assert len(told["choices"][0]["text"].split()) == 16
    assert told["choices"][0]["finish_reason"] == "length"


async def test_the_command_line_of_2023_sends_nulls(program, answering):
    nulls = dict.fromkeys(("n", "max_tokens", "logprobs", "temperature", "top_p", "stop", "prompt"))
    told = await program.told(PATH, model="live", stream=False, echo=True, **nulls)
    assert told["usage"]["prompt_tokens"] >= 0
    assert told["choices"][0]["text"]


async def test_an_echo_begins_with_the_prompt_exactly(program, answering, script):
    script.text = "tail"
    prompt = "  Odd\tspaces\n\nand 한글 🙂 <|im_end|>"
    told = await program.told(PATH, model="live", prompt=prompt, echo=True)
    assert texts(told) == [prompt + " tail"]
    events = await program.events(PATH, model="live", prompt=prompt, echo=True, n=2)
    for index in (0, 1):
        mine = [event["choices"][0] for event in events if event["choices"][0]["index"] == index]
        assert "".join(choice["text"] for choice in mine) == prompt + " tail"
        assert mine[0]["text"] == prompt


async def test_an_echo_alone_reads_the_prompt_and_writes_nothing(program, scripted_policy):
    told = await program.told(PATH, model="live", prompt="Only this", echo=True, max_tokens=0)
    assert told["choices"] == [{"text": "Only this", "index": 0, "logprobs": None, "finish_reason": "length"}]
    assert told["usage"]["completion_tokens"] == 0
    row = await Usage.objects.aget()
    assert (row.prompt_tokens, row.completion_tokens) == (told["usage"]["prompt_tokens"], 0)


async def test_several_prompts_times_several_choices(program, answering, script):
    script.echoes = True
    told = await program.told(PATH, model="live", prompt=["one", "two", "three"], n=2)
    assert [choice["index"] for choice in told["choices"]] == list(range(6))
    assert texts(told) == [" one", " one", " two", " two", " three", " three"]
    events = await program.events(PATH, model="live", prompt=["one", "two", "three"], n=2)
    joined = [""] * 6
    for event in events:
        joined[event["choices"][0]["index"]] += event["choices"][0]["text"]
    assert joined == texts(told)
    rows = await in_database(lambda: list(Usage.objects.values_list("completion_tokens", flat=True)))()
    assert sorted(rows) == [2] * 6


async def test_several_prompts_do_not_stand_in_their_own_way(program, answering, settings):
    settings.API_CONCURRENCY = 1
    told = await program.told(PATH, model="live", prompt=["one", "two", "three"])
    assert len(told["choices"]) == 3


@pytest.mark.parametrize("path", [PATH, "chat/completions"])
async def test_what_is_told_of_tokens_is_what_was_metered(program, answering, monkeypatch, path):
    async def stream(self, prompt, parameters):
        yield Piece(" a b")
        yield Piece("", "stop", 77, 2)  # a server elsewhere has its own tokenizer

    monkeypatch.setattr(ScriptedEngine, "stream", stream)
    asked = {"prompt": "x"} if path == PATH else {"messages": [{"role": "user", "content": "x"}]}
    told = await program.told(path, model="live", **asked)
    *_, last = await program.events(path, model="live", stream_options={"include_usage": True}, **asked)
    assert told["usage"] == last["usage"] == {"prompt_tokens": 77, "completion_tokens": 2, "total_tokens": 79}
    rows = await in_database(lambda: list(Usage.objects.values_list("prompt_tokens", "completion_tokens")))()
    assert rows == [(77, 2), (77, 2)]


async def test_token_ids_are_prompts_too(program, answering, script):
    script.echoes = True
    told = await program.told(PATH, model="live", prompt=[5, 7])
    assert texts(told) == [" 5 7"]
    told = await program.told(PATH, model="live", prompt=[[5], [7, 9]], echo=True)
    assert texts(told) == ["5 5", "7 9 7 9"]


async def test_a_stream_ends_with_its_reason_and_tells_usage_if_asked(program, answering):
    events = await program.events(PATH, model="live", prompt="a", stream_options={"include_usage": True})
    *chunks, last = events
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons[-1] == "stop"
    assert set(reasons[:-1]) == {None}
    assert last["choices"] == []
    plain = await program.told(PATH, model="live", prompt="a")
    assert last["usage"] == plain["usage"]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert all("usage" not in event for event in await program.events(PATH, model="live", prompt="a"))


async def test_the_best_are_those_with_the_highest_mean_probability(program, answering, monkeypatch):
    async def stream_many(self, prompt, parameters, n):
        assert parameters.top_logprobs is not None
        for index, logprob in enumerate((-3.0, -0.5, -1.0)):
            for word in (" a", f" {index}"):
                yield Piece(word, tokens=(Token(word, logprob),), index=index)
            yield Piece("", "stop", 1, 2, index=index)

    monkeypatch.setattr(ScriptedEngine, "stream_many", stream_many)
    told = await program.told(PATH, model="live", prompt="x", n=2, best_of=3)
    assert texts(told) == [" a 1", " a 2"]
    assert told["usage"]["completion_tokens"] == 6  # all that were made
    assert told["choices"][0]["logprobs"] is None


async def test_probabilities_come_in_lists_of_equal_length(program, answering, script):
    script.text = "one two"
    told = await program.told(PATH, model="live", prompt="x", logprobs=2)
    shown = told["choices"][0]["logprobs"]
    assert shown["tokens"] == [" one", " two"]
    assert shown["text_offset"] == [0, 4]
    assert {len(shown[name]) for name in shown} == {2}
    assert all(
        token in top and len(top) <= 3 for token, top in zip(shown["tokens"], shown["top_logprobs"], strict=True)
    )
    none = await program.told(PATH, model="live", prompt="x", logprobs=0)
    assert none["choices"][0]["logprobs"]["top_logprobs"] is None
    assert none["choices"][0]["logprobs"]["token_logprobs"] == shown["token_logprobs"]
    events = await program.events(PATH, model="live", prompt="x", logprobs=2)
    parts = [event["choices"][0]["logprobs"] for event in events]
    offsets = [offset for part in parts if part for offset in part["text_offset"]]
    assert offsets == [0, 4]


def test_nobody_knows_how_probable_the_first_token_is():
    told = logprobs(
        [
            UnscoredToken("The"),
            Token(" sky", -0.5, top=(TokenProbability(" sea", -0.4), TokenProbability(" sky", -0.5))),
        ],
        1,
    )
    assert told == {
        "tokens": ["The", " sky"],
        "token_logprobs": [None, -0.5],
        "top_logprobs": [None, {" sea": -0.4, " sky": -0.5}],
        "text_offset": [0, 3],
    }


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"suffix": "end"}, "suffix"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt.0"),
        ({"prompt": ["a", 5]}, "prompt.1"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": [-1]}, "prompt.0"),
        ({"echo": "yes"}, "echo"),
        ({"model": None}, "model"),
    ],
)
async def test_what_is_wrong_is_named(program, given, param):
    status, error = await program.refused(PATH, **{"model": "live", "prompt": "x", **given})
    assert (status, error["param"]) == (400, param)


async def test_the_address_of_old_names_the_model(program, answering, script):
    script.text = "fine"
    told = await program.told("engines/live/completions", prompt="x")
    assert (told["model"], texts(told)) == ("live", [" fine"])
    status, error = await program.refused("engines/nothing/completions", prompt="x")
    assert (status, error["code"]) == (404, "model_not_found")
