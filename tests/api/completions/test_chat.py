"""`/v1/chat/completions` as the wire protocol has it, from a request to the last byte."""

import asyncio
import math

import pytest

from api.completions.chat import logprobs
from api.schemas.chat import ChatRequest
from chat.engines.engine import Token, TokenProbability
from chat.errors import Blocked
from chat.guards import Guard
from chat.models import Policy, Ticket
from metering.models import Budget, Usage
from tests.api.program import Program, in_database
from tests.people import make_person

pytestmark = pytest.mark.django_db(transaction=True)
CHAT = "chat/completions"
HI = [{"role": "user", "content": "Hi"}]


class NoSecrets(Guard):
    def check_message(self, text, conversation):
        self.check_reply(text, conversation)

    def check_reply(self, text, conversation):
        if "secret" in text:
            raise Blocked("no-secrets")


async def test_a_conversation_is_answered(program, answering, script):
    script.text = "Hello from the script"
    told = await program.told(CHAT, model="live", messages=HI)
    assert told["object"] == "chat.completion"
    assert told["id"].startswith("chatcmpl-")
    assert isinstance(told["created"], int)
    assert told["model"] == "live"
    assert told["system_fingerprint"].startswith("fp_")
    message = {"role": "assistant", "content": "Hello from the script", "refusal": None}
    assert told["choices"] == [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    assert told["usage"]["completion_tokens"] == 4
    assert told["usage"]["total_tokens"] == told["usage"]["prompt_tokens"] + 4


async def test_the_site_s_instructions_come_before_a_conversation_without_any(program, answering, settings):
    async def prompt_tokens(messages):
        return (await program.told(CHAT, model="live", messages=messages))["usage"]["prompt_tokens"]

    own = [{"role": "system", "content": "Answer in one sentence."}, *HI]
    bare, told = await prompt_tokens(HI), await prompt_tokens(own)
    settings.CHAT_SYSTEM_PROMPT = own[0]["content"]
    assert bare < told
    assert [await prompt_tokens(HI), await prompt_tokens(own)] == [told, told]


async def test_every_request_has_an_id_and_speaks_english(program, answering):
    response = await program.send(CHAT, {"model": "live", "messages": []}, **{"accept-language": "ko"})
    assert response["x-request-id"].startswith("req_")
    assert response["Content-Language"] == "en"
    assert response.json()["error"]["message"].isascii()


async def test_nulls_are_defaults_and_what_changes_nothing_is_ignored(program, answering):
    nulls = dict.fromkeys(("temperature", "top_p", "n", "stop", "seed", "max_tokens", "logprobs", "tools", "stream"))
    harmless = {"user": "me", "store": True, "metadata": {"a": "b"}, "response_format": {"type": "text"}}
    told = await program.told(CHAT, model="live", messages=HI, logit_bias={}, **nulls, **harmless)
    assert len(told["choices"]) == 1


async def test_n_choices_are_told_apart_and_the_prompt_is_counted_once(program, answering, alice):
    one = await program.told(CHAT, model="live", messages=HI)
    told = await program.told(CHAT, model="live", messages=HI, n=3)
    assert [choice["index"] for choice in told["choices"]] == [0, 1, 2]
    assert told["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
    assert told["usage"]["completion_tokens"] == 3 * one["usage"]["completion_tokens"]
    rows = await in_database(list)(Usage.objects.order_by("id"))
    assert [row.completion_tokens for row in rows] == [12, 36]
    assert {row.user_id for row in rows} == {alice.pk}
    assert {row.key_id for row in rows} == {program.key.pk}


@pytest.mark.parametrize(
    ("asked", "is_batch"),
    [({}, False), ({"n": 2}, True), ({"service_tier": "flex"}, True), ({"service_tier": "auto"}, False)],
)
async def test_several_choices_and_the_flex_tier_are_behind_people(program, answering, asked, is_batch):
    await program.told(CHAT, model="live", messages=HI, **asked)
    assert (await in_database(Ticket.objects.get)()).is_batch is is_batch


async def test_a_stream_says_the_role_then_the_text_then_the_end(program, answering, script):
    script.text = "one two three"
    events = await program.events(CHAT, model="live", messages=HI)
    choices = [event["choices"][0] for event in events]
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert len({event["id"] for event in events}) == 1
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "one two three"
    assert choices[-1]["delta"] == {}
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]
    assert all("usage" not in event and "error" not in event for event in events)


async def test_the_usage_of_a_stream_is_told_where_it_is_asked_for(program, answering):
    events = await program.events(CHAT, model="live", messages=HI, stream_options={"include_usage": True})
    *chunks, last = events
    assert all(event["usage"] is None and event["choices"] for event in chunks)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 12
    plain = await program.told(CHAT, model="live", messages=HI)
    assert last["usage"] == plain["usage"]


async def test_each_choice_of_a_stream_has_its_own_role_and_end(program, answering):
    events = await program.events(CHAT, model="live", messages=HI, n=2)
    for index in (0, 1):
        mine = [event["choices"][0] for event in events if event["choices"][0]["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant"
        assert mine[-1]["finish_reason"] == "stop"
        assert sum(bool(choice["finish_reason"]) for choice in mine) == 1


async def test_stop_and_length_say_why_it_ended(program, answering, script):
    script.text = "one two END three"
    cut = await program.told(CHAT, model="live", messages=HI, max_tokens=2)
    assert (cut["choices"][0]["message"]["content"], cut["choices"][0]["finish_reason"]) == ("one two", "length")
    stopped = await program.told(CHAT, model="live", messages=HI, stop=" END")
    assert (stopped["choices"][0]["message"]["content"], stopped["choices"][0]["finish_reason"]) == (
        "one two",
        "stop",
    )
    newer = await program.told(CHAT, model="live", messages=HI, max_tokens=1, max_completion_tokens=3)
    assert newer["choices"][0]["message"]["content"] == "one two END"


def test_a_part_of_a_character_has_no_bytes_that_anybody_could_tell():
    (told,) = logprobs(
        [Token("참", -0.5, top=(TokenProbability("\ufffd", -1.0), TokenProbability("참", -0.5)))], top=2
    )["content"]
    assert told["bytes"] == [0xEC, 0xB0, 0xB8]
    assert [choice["bytes"] for choice in told["top_logprobs"]] == [None, [0xEC, 0xB0, 0xB8]]


async def test_probabilities_are_told_with_bytes_and_alternatives(program, answering, script):
    script.text = "안녕 세상"
    told = await program.told(CHAT, model="live", messages=HI, logprobs=True, top_logprobs=3)
    content = told["choices"][0]["logprobs"]["content"]
    assert [entry["token"] for entry in content] == ["안녕", " 세상"]
    assert bytes(content[0]["bytes"]).decode() == "안녕"
    assert all(len(entry["top_logprobs"]) == 3 and entry["logprob"] <= 0 for entry in content)
    plain = await program.told(CHAT, model="live", messages=HI, logprobs=True)
    assert [entry["top_logprobs"] for entry in plain["choices"][0]["logprobs"]["content"]] == [[], []]
    streamed = await program.events(CHAT, model="live", messages=HI, logprobs=True, top_logprobs=3)
    told_there = [event["choices"][0]["logprobs"] for event in streamed]
    assert [entry for part in told_there if part for entry in part["content"]] == content


async def test_content_may_be_parts_and_roles_may_be_new_names(program, answering, script):
    script.echoes = True
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts, "name": "a"}]
    told = await program.told(CHAT, model="live", messages=messages)
    assert told["choices"][0]["message"]["content"] == "one two"


async def test_an_answer_may_be_sent_back_as_it_came(program, answering):
    told = await program.told(CHAT, model="live", messages=HI)
    await program.told(CHAT, model="live", messages=[*HI, told["choices"][0]["message"], *HI])


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"n": 1.5}, "n"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content.0.type"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"model": 5}, "model"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"temprature": 1}, "temprature"),
    ],
)
async def test_what_is_wrong_is_named(program, given, param):
    status, error = await program.refused(CHAT, **{"model": "live", "messages": HI, **given})
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)


async def test_a_body_that_is_no_object_is_refused(program):
    for body in ("[1]", "{", '{"model": NaN}', "[" * 100_000, b"\xff"):
        response = await program.send(CHAT, body)
        assert response.status_code == 400, body[:20]
        assert response.json()["error"]["type"] == "invalid_request_error"
    large = await program.send(CHAT, "x" * 3_000_000)
    assert large.status_code == 413


async def test_unknown_models_are_404_and_those_of_others_do_not_exist(program, scripted_policy):
    bob = await in_database(make_person)("bob")
    await Policy.objects.acreate(name="secret", version=2, is_scripted=True, owner=bob, label="ft:secret")
    for name in ("no-such", "secret", "ft:secret", "a\0b"):
        status, error = await program.refused(CHAT, model=name, messages=HI)
        assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")


async def test_a_prompt_that_does_not_fit_is_refused_not_cut(program, answering, settings):
    settings.CHAT_CONTEXT_TOKENS = 50
    status, error = await program.refused(CHAT, model="live", messages=[{"role": "user", "content": "word " * 100}])
    assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "messages")
    status, error = await program.refused("completions", model="live", prompt="word " * 100)
    assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "prompt")


async def test_a_spent_budget_is_told_with_no_hurry_to_ask_again(program, answering, alice):
    await Budget.objects.acreate(user=alice, limit=0, period="total")
    response = await program.post(CHAT, model="live", messages=HI)
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["code"]) == (429, *["insufficient_quota"] * 2)
    assert (response["Retry-After"], response["x-should-retry"]) == ("3600", "false")


async def test_more_requests_at_a_time_than_allowed_are_told_when_to_come_back(program, answering, settings, script):
    settings.API_CONCURRENCY, script.seconds_a_token, script.tokens = 1, 0.05, 40
    first = asyncio.create_task(program.post(CHAT, model="live", messages=HI))
    while not await Ticket.objects.aexists():
        await asyncio.sleep(0.01)
    response = await program.post(CHAT, model="live", messages=HI)
    assert response.status_code == 429
    assert response.json()["error"]["code"] == "rate_limit_exceeded"
    assert int(response["Retry-After"]) >= 1
    assert (await first).status_code == 200


async def test_a_failure_before_the_first_word_has_a_status_a_later_one_comes_in_the_stream(
    program, answering, script
):
    script.fail_after = 0
    response = await program.post(CHAT, model="live", messages=HI, stream=True)
    assert response.status_code == 503
    assert response.json()["error"]["type"] == "server_error"
    assert "Retry-After" in response
    script.fail_after = 5
    response = await program.post(CHAT, model="live", messages=HI, stream=True)
    assert response.status_code == 200
    text = b"".join([part async for part in response.streaming_content]).decode()
    assert '"error"' in text.strip().split("\n\n")[-1]
    assert "[DONE]" not in text


async def test_a_failure_of_the_server_is_json_too(program, answering, monkeypatch):
    def broken(*args):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("api.model_names.resolve", broken)
    status, error = await program.refused(CHAT, model="live", messages=HI)
    assert (status, error["type"]) == (500, "server_error")


async def test_a_key_is_needed_and_it_has_to_reach_that_far(program, alice, answering):
    nobody = await program.http.post(
        f"/v1/{CHAT}", {}, content_type="application/json", headers={"authorization": ""}
    )
    assert (nobody.status_code, nobody.json()["error"]["code"]) == (401, "invalid_api_key")
    wrong = await program.http.get("/v1/models", headers={"authorization": "Bearer sk-wrong"})
    assert wrong.status_code == 401
    narrow = await in_database(Program)(alice, scopes=["models"])
    status, error = await narrow.refused(CHAT, model="live", messages=HI)
    assert (status, error["code"]) == (403, "insufficient_permissions")
    limited = await in_database(Program)(alice, requests_per_minute=0)
    response = await limited.post(CHAT, model="live", messages=HI)
    assert response.status_code == 429
    assert response.json()["error"]["type"] == "requests"
    assert 1 <= int(response["Retry-After"]) <= 60
    for refused in (narrow, limited):
        await refused.key.arefresh_from_db()
        assert refused.key.last_used_at is not None, "its owner is told that somebody tries it"


async def test_a_session_opens_nothing(alice, client):
    client = await in_database(lambda: client.force_login(alice) or client)()
    assert (await in_database(client.get)("/v1/models")).status_code == 401


async def test_whoever_goes_away_frees_the_engine(program, answering, script):
    script.seconds_a_token, script.tokens = 0.05, 10_000
    for stream in (False, True):
        waiting = asyncio.create_task(program.events(CHAT, model="live", messages=HI) if stream
                                      else program.post(CHAT, model="live", messages=HI))  # fmt: skip
        async with asyncio.timeout(5):
            while not answering.granted:
                await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
        async with asyncio.timeout(1):
            while answering.granted or answering.engines.current.users:
                await asyncio.sleep(0.01)
    usage = [row.completion_tokens async for row in Usage.objects.all()]
    assert len(usage) == 2
    assert all(0 <= tokens < 10_000 for tokens in usage)


async def test_a_guard_ends_an_answer_with_content_filter(program, answering, script, settings):
    settings.CHAT_GUARDS = [f"{__name__}.NoSecrets"]
    script.text = "All is well. The secret is out. More."
    told = await program.told(CHAT, model="live", messages=HI)
    choice = told["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert "secret" not in choice["message"]["content"]
    status, error = await program.refused(CHAT, model="live", messages=[{"role": "user", "content": "a secret"}])
    assert (status, error["code"]) == (400, "content_filter")


def test_the_parameters_reach_the_engine_as_they_were_given(settings):
    asked = ChatRequest.model_validate(
        {"model": "m", "messages": HI, "temperature": 0, "top_p": 0, "seed": -1, "stop": "x", "frequency_penalty": -2}
    )
    made = asked.parameters(7, None)
    assert (made.temperature, made.stop, made.frequency_penalty, made.max_completion_tokens) == (0, ("x",), -2, 7)
    assert 0 < made.top_p < 1e-3
    assert made.seed is not None
    assert made.seed >= 0
    assert made.top_logprobs is None
    assert asked.parameters(7, 0).top_logprobs == 1  # some engines take 0 for "tell nothing"
    assert math.isclose(ChatRequest.model_validate({"model": "m", "messages": HI}).parameters(7, None).temperature,
                        settings.CHAT_TEMPERATURE)  # fmt: skip
