"""A look inside a reply: held against transformers' own forward pass, under the ids that were really sent."""

import asyncio
import math
import signal
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.urls import reverse

from accounts.models import User
from chat import policies
from chat.engines.child import ChildEngine
from chat.engines.engine import Parameters, Token, TokenProbability
from chat.errors import InspectorDown, NoProbabilities, ReplyUnderWay, StillBlind, TooManyTokenViews, WeightsGone
from chat.inspection import client as inspection_client
from chat.inspection import token_views
from chat.inspection.client import Inspector
from chat.models import Message, Pair, Policy, Reply, TokenView
from chat.prompts.rendering import Renderer
from chat.queue import replies
from tests.chat.inspection.reference import forward_pass
from tests.chat.policies import install
from tests.chat.talkers import talking

TEXT = "A rainbow is 무지개 — light!\n\nThe <|im_end|> sun 🌈 is a star.  "


def say(conversation, *texts):
    """Turns of a person and an assistant in turn; the last message."""
    message = None
    for index, text in enumerate(texts):
        role = (Message.Role.USER, Message.Role.ASSISTANT)[index % 2]
        message = Message.objects.create(conversation=conversation, parent=message, role=role, text=text)
    return message


def ended(conversation, policy, text=TEXT, prefix="", state=Reply.State.COMPLETE):
    """A reply as it stands after its end."""
    question = say(conversation, "What is a star?", "A ball of gas.", "And a rainbow?")
    reply = replies.queue(question, Parameters().to_json())
    Message.objects.filter(pk=reply.message_id).update(text=text)
    Reply.objects.filter(pk=reply.pk).update(state=state, policy=policy, prefix=prefix)
    return Reply.objects.select_related("message", "policy").get(pk=reply.pk)


async def seen(reply):
    async with asyncio.timeout(90):
        while (view := await sync_to_async(TokenView.objects.get)(reply=reply)).state == TokenView.State.QUEUED:
            await asyncio.sleep(0.1)
    return view


@pytest.mark.django_db(transaction=True)
async def test_probabilities_are_those_of_a_plain_forward_pass_under_the_ids_that_were_sent(
    tiny_policy, conversation, settings, monkeypatch
):
    """A reply of the real engine, from its prompt to the view, with a prefix that it had to begin with."""
    policy = await sync_to_async(install)(tiny_policy, "tiny-inside", is_live=True)
    sent, ask = [], ChildEngine._ask

    def overheard(self, prompt, parameters, n):
        sent.append(prompt.ids)
        return ask(self, prompt, parameters, n)

    monkeypatch.setattr(ChildEngine, "_ask", overheard)
    question = await sync_to_async(say)(conversation, "What is a star?", "Gas <|im_end|>.", "And a rainbow?")
    parameters = Parameters(temperature=1.0, seed=4, max_completion_tokens=40).to_json()
    reply = await sync_to_async(replies.queue)(question, parameters, prefix="A rainbow 무")
    async with talking():
        async with asyncio.timeout(60):
            while (await sync_to_async(Reply.objects.get)(pk=reply.pk)).is_live:
                await asyncio.sleep(0.1)
        reply = await sync_to_async(Reply.objects.select_related("message__conversation", "policy").get)(pk=reply.pk)
        await sync_to_async(token_views.ask)(reply)
        view = await seen(reply)
    assert view.state == TokenView.State.READY, view.error
    tokens = view.tokens
    ids = [token["id"] for token in tokens]
    begun = Renderer(policies.directory(policy)).continuation("A rainbow 무")
    assert ids[: len(begun)] == begun
    prompt = sent[0][: len(sent[0]) - len(begun)]
    assert sent[0] == prompt + begun
    assert "".join(token["text"] for token in tokens) == reply.message.text
    assert reply.message.text.startswith("A rainbow 무")
    own, tops = await asyncio.to_thread(forward_pass, tiny_policy, prompt, ids, inspection_client.TOP)
    for token, logprob, top in zip(tokens, own, tops, strict=True):
        assert token["logprob"] == pytest.approx(logprob, abs=1e-3)
        assert {other["id"]: other["logprob"] for other in token["top"]} == pytest.approx(top, abs=1e-3)
    assert not view.is_of_other_prompt
    shown = (await sync_to_async(token_views.to_json)(view))["tokens"]
    assert [token["given"] for token in shown] == [True] * len(begun) + [False] * (len(ids) - len(begun))


# --- texts of tokens --------------------------------------------------------------------------------------------


def test_tokens_add_up_to_the_text_and_a_broken_character_belongs_to_the_token_that_ends_it(tiny_policy):
    renderer = Renderer(tiny_policy)
    spelled = renderer.spelled(TEXT)
    assert "".join(text for _, text in spelled) == TEXT
    assert [number for number, _ in spelled] == renderer.continuation(TEXT)
    assert not {number for number, _ in spelled} & set(renderer.control_tokens)
    ids = [number for number, _ in renderer.spelled("무")]
    assert [text for _, text in renderer.spelled("무")] == [""] * (len(ids) - 1) + ["무"]


def test_what_an_alternative_would_add_is_told_in_its_place(tiny_policy):
    renderer = Renderer(tiny_policy)
    sun, moo = renderer.continuation(" sun"), renderer.continuation("무")
    assert "".join(renderer.added_by(n, sun[:i]) for i, n in enumerate(sun)) == " sun"
    assert renderer.added_by(moo[0], sun) == ""  # begins a character and is none
    assert renderer.added_by(moo[-1], sun + moo[:-1]) == "무"


# --- who may ask, and what they are told ------------------------------------------------------------------------


@pytest.fixture
def policy(tiny_policy):
    return install(tiny_policy, "tiny-asked", is_live=True)


@pytest.mark.django_db(transaction=True)
def test_a_request_is_a_row_made_once_and_anew_after_a_failure(conversation, policy):
    reply = ended(conversation, policy)
    assert token_views.ask(reply).state == token_views.ask(reply).state == TokenView.State.QUEUED
    token_views.fail(reply.pk, InspectorDown())
    assert TokenView.objects.get().state == TokenView.State.FAILED
    assert token_views.ask(reply).state == TokenView.State.QUEUED
    assert TokenView.objects.get().error == ""


@pytest.mark.django_db(transaction=True)
def test_a_reply_in_the_making_and_one_of_an_undecided_pair_are_not_looked_into(conversation, policy):
    with pytest.raises(ReplyUnderWay):
        token_views.ask(ended(conversation, policy, state=Reply.State.STREAMING))
    left, right = ended(conversation, policy), ended(conversation, policy)
    pair = Pair.objects.create(message=left.message.parent, left=left, right=right)
    for reply in (left, right):
        with pytest.raises(StillBlind):
            token_views.ask(reply)
    Pair.objects.filter(pk=pair.pk).update(revealed_at=left.queued_at)
    assert token_views.ask(left).state == TokenView.State.QUEUED


@pytest.mark.django_db(transaction=True)
def test_without_weights_there_is_a_reason(conversation, policy):
    with pytest.raises(NoProbabilities):
        token_views.ask(ended(conversation, Policy.objects.create(name="elsewhere", version=99)))
    (policies.directory(policy) / "model.safetensors").unlink()
    with pytest.raises(WeightsGone):
        token_views.ask(ended(conversation, policy))


@pytest.mark.django_db(transaction=True)
def test_one_person_asks_for_a_few_at_a_time(conversation, policy):
    for _ in range(token_views.MAX_QUEUED):
        token_views.ask(ended(conversation, policy))
    with pytest.raises(TooManyTokenViews):
        token_views.ask(ended(conversation, policy))


@pytest.mark.django_db(transaction=True)
def test_a_prompt_that_is_no_longer_the_one_that_was_sent_is_said_to_be_so(conversation, policy):
    reply = ended(conversation, policy)
    sent = len(token_views.encode(question_of(reply)).prompt)
    for hidden, differs in ((False, False), (True, True)):
        Reply.objects.filter(pk=reply.pk).update(prompt_tokens=sent)
        if hidden:
            Message.objects.filter(text="A ball of gas.").update(hidden_at=reply.queued_at)
        TokenView.objects.update_or_create(reply=reply, defaults={"state": TokenView.State.QUEUED})
        question = token_views.next_job()
        token_views.store(question, token_views.encode(question), [])
        assert TokenView.objects.get(reply=reply).is_of_other_prompt is differs


def question_of(reply):
    TokenView.objects.create(reply=reply)
    return token_views.next_job()


TOKENS = (
    Token(
        "Good",
        math.log(0.9),
        5,
        (TokenProbability("Good", math.log(0.9), 5), TokenProbability("Bad", math.log(0.1), 6)),
    ),
    Token(" morning", math.log(0.5)),
    Token(" to", math.log(0.25)),
)


@pytest.mark.django_db(transaction=True)
def test_what_the_engine_told_is_kept_and_shown_as_far_as_the_text_goes(conversation, scripted_policy, alice):
    reply = ended(conversation, scripted_policy, text="Oh! Good mor", prefix="Oh! ", state=Reply.State.STOPPED)
    token_views.record(reply.pk, reply.prefix, TOKENS)
    page = client_of(alice)
    answer = page.get(reverse("inside_of", args=[reply.pk])).json()
    assert page.post(reverse("look_inside", args=[reply.pk])).json() == answer
    assert (answer["state"], answer["changed"]) == ("ready", False)
    assert [token["text"] for token in answer["tokens"]] == ["Oh! ", "Good", " mor"]
    assert [token["logprob"] for token in answer["tokens"]] == [None, math.log(0.9), math.log(0.5)]
    assert [token["given"] for token in answer["tokens"]] == [True, False, False]
    assert answer["tokens"][1]["top"][1] == {"text": "Bad", "logprob": math.log(0.1), "id": 6}


@pytest.mark.django_db(transaction=True)
async def test_an_engine_elsewhere_is_asked_for_log_probs_where_the_site_wants_them(
    conversation, scripted_policy, script, settings
):
    settings.CHAT_RECORD_LOGPROBS = 3
    question = await sync_to_async(say)(conversation, "Hello?")
    reply = await sync_to_async(replies.queue)(question, Parameters().to_json())
    async with talking(), asyncio.timeout(30):
        while (await sync_to_async(Reply.objects.get)(pk=reply.pk)).is_live:
            await asyncio.sleep(0.05)
    view = await sync_to_async(TokenView.objects.select_related("reply__message").get)(reply=reply)
    assert "".join(token["text"] for token in view.tokens) == view.reply.message.text != ""
    assert [len(token["top"]) for token in view.tokens] == [3] * 12


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.django_db(transaction=True)
def test_a_stranger_and_a_hidden_reply_get_404(conversation, policy, alice):
    reply = ended(conversation, policy)
    addresses = [("post", reverse("look_inside", args=[reply.pk])), ("get", reverse("inside_of", args=[reply.pk]))]
    bob = User.objects.create_user("bob", password="not the demo one")
    assert [getattr(client_of(bob), method)(url).status_code for method, url in addresses] == [404, 404]
    assert client_of(alice).get(addresses[1][1]).status_code == 404  # nobody asked for it yet
    assert client_of(alice).post(addresses[0][1]).json() == {"state": "queued"}
    assert client_of(alice).get(addresses[1][1]).json() == {"state": "queued"}
    Message.objects.filter(pk=reply.message_id).update(hidden_at=reply.queued_at)
    assert [getattr(client_of(alice), method)(url).status_code for method, url in addresses] == [404, 404]


@pytest.mark.django_db(transaction=True)
def test_refusals_say_what_happened_and_whether_to_try_again(conversation, policy, alice):
    reply = ended(conversation, policy)
    page = client_of(alice)
    page.post(reverse("look_inside", args=[reply.pk]))
    token_views.fail(reply.pk, InspectorDown())
    answer = page.get(reverse("inside_of", args=[reply.pk]))
    assert (answer.json()["state"], answer.json()["code"], answer.json()["retryable"]) == (
        "failed",
        "inspector_down",
        True,
    )
    live = ended(conversation, policy, state=Reply.State.STREAMING)
    answer = page.post(reverse("look_inside", args=[live.pk]))
    assert (answer.json()["state"], answer.json()["code"]) == ("failed", "reply_under_way")
    assert "reply" in answer.json()["message"]


# --- the child process ------------------------------------------------------------------------------------------


@asynccontextmanager
async def inspector():
    inspector = Inspector()
    try:
        yield inspector
    finally:
        await inspector.close()


async def test_the_inspector_answers_again_after_poison_and_after_its_death(tiny_policy):
    async with inspector() as asked:
        good = await asked.logprobs(tiny_policy, [1, 5], [7, 8])
        for prompt, completion in (([], [5]), ([1], []), ([1], [10**6]), ([-1], [5])):
            with pytest.raises(InspectorDown):
                await asked.logprobs(tiny_policy, prompt, completion)
        with pytest.raises(InspectorDown):
            await asked.logprobs(tiny_policy / "nowhere", [1], [5])
        child = asked._process
        assert await asked.logprobs(tiny_policy, [1, 5], [7, 8]) == good
        assert asked._process is child
        child.kill()
        assert await asked.logprobs(tiny_policy, [1, 5], [7, 8]) == good
        assert asked._process is not child
    assert asked._process is None


async def test_the_inspector_goes_when_nobody_asks_and_comes_back(tiny_policy, monkeypatch):
    monkeypatch.setattr(inspection_client, "IDLE_S", 0.2)
    async with inspector() as asked, asyncio.timeout(60):
        unasked = await asked._running()  # torch is loaded by the first question alone
        assert await unasked.wait() == 0
        assert await asked.logprobs(tiny_policy, [1, 5], [7])
        assert asked._process is not unasked
        assert await asked._process.wait() == 0


async def test_an_inspector_that_hangs_is_ended(tiny_policy, monkeypatch):
    monkeypatch.setattr(inspection_client, "ANSWER_TIMEOUT_S", 1.0)
    async with inspector() as asked:
        child = await asked._running()
        child.send_signal(signal.SIGSTOP)
        with pytest.raises(InspectorDown):
            await asked.logprobs(tiny_policy, [1, 5], [7])
        assert child.returncode is not None


@pytest.mark.django_db(transaction=True)
async def test_a_request_ends_whatever_its_computation_died_of(conversation, policy, monkeypatch):
    async def logprobs(*_):
        return []

    monkeypatch.setattr(Inspector, "logprobs", logprobs)
    reply = await sync_to_async(ended)(conversation, policy)
    await sync_to_async(token_views.ask)(reply)
    monkeypatch.setattr(token_views, "described", lambda *_: 1 / 0)
    async with talking():
        view = await seen(reply)
    assert (view.state, view.error) == (TokenView.State.FAILED, "inspector_down")
