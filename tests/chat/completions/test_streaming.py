"""Questions of programs: the same line, engines, guards, limits and budgets as on the page, metered to the token."""

import asyncio
from contextlib import aclosing
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from accounts import keys
from chat import guards, policies
from chat.completions import streaming as askings
from chat.completions.streaming import CompletionSpec, meter_prompt, score, spelled, stream_completions
from chat.engines.engine import Parameters
from chat.errors import (
    BadParameters,
    BadPolicy,
    Blocked,
    BudgetUsedUp,
    ContextExceeded,
    EngineDown,
    NoLivePolicy,
    NoProbabilities,
    PolicyRetired,
    QueueFull,
    TooManyReplies,
)
from chat.models import Conversation, Message, Policy, Scoring, Ticket
from chat.queue import reaping, replies, ticket_poller, tickets
from chat.talker import engine_pool as keeping
from metering.models import Budget, Price, Usage
from tests.chat.inspection.reference import forward_pass
from tests.chat.policies import install
from tests.chat.talkers import talking

pytestmark = pytest.mark.django_db(transaction=True)
HERE = "tests.chat.completions.test_streaming."


class NoCats(guards.Guard):
    def check_message(self, text, conversation):
        if "cat" in text:
            raise Blocked("no-cats", "a cat")

    check_reply = check_message


@pytest.fixture(autouse=True)
def _hasty(monkeypatch, settings):
    monkeypatch.setattr(keeping, "STEP_S", 0.02)
    monkeypatch.setattr(ticket_poller, "POLL_EVERY_S", 0.01)
    settings.CHAT_GUARDS = [HERE + "NoCats"]


def question(person, text="Once", policy=None, n=1, **parameters):
    return CompletionSpec(person, None, policy, Parameters(**parameters), text=text, n=n)


async def all_of(asked):
    """Texts and last pieces of all completions, by their index."""
    texts, lasts = [""] * asked.n, [None] * asked.n
    async with asyncio.timeout(30), stream_completions(asked) as answer:
        async for piece in answer.pieces:
            texts[piece.index] += piece.text
            if piece.finish_reason:
                lasts[piece.index] = piece
    return texts, lasts, answer


async def read_into(got, asked):
    async with stream_completions(asked) as answer:
        async for piece in answer.pieces:
            got.append(piece.text)


async def until(condition, timeout=5):
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


async def only_usage():
    return await Usage.objects.aget()


async def test_a_raw_text_is_gone_on_from_and_metered_as_it_was_told(alice, scripted_policy, script):
    await Price.objects.acreate(model="scripted", prompt=7, completion=11)
    async with talking():
        (text,), (last,), answer = await all_of(question(alice, max_completion_tokens=9))
    assert len(text.split()) == 9 == last.completion_tokens
    assert text.startswith(" ")
    assert (last.finish_reason, answer.policy) == ("length", scripted_policy)
    used = await only_usage()
    assert (used.model, used.kind, used.user_id) == ("scripted", "api", alice.pk)
    assert (used.prompt_tokens, used.completion_tokens) == (answer.prompt_tokens, 9)
    assert used.cost == 7 * answer.prompt_tokens + 11 * 9
    ticket = await Ticket.objects.aget()
    assert (ticket.state, ticket.error, used.ref) == ("ended", "", f"ticket:{ticket.pk}")


async def test_a_conversation_is_answered_and_ends_by_itself(alice, scripted_policy, script):
    script.text = "Hello there"
    turns = [{"role": "user", "content": "Hi"}]
    async with talking():
        (text,), (last,), _ = await all_of(CompletionSpec(alice, None, None, Parameters(), turns=turns))
    assert (text, last.finish_reason, last.completion_tokens) == ("Hello there", "stop", 2)


async def test_several_completions_share_a_ticket_and_their_tokens_add_up(alice, scripted_policy, script):
    script.seconds_a_token, script.tokens = 1.0, 20
    async with talking() as talker:
        asked = asyncio.create_task(all_of(question(alice, n=3, max_completion_tokens=8)))
        await until(lambda: talker.engines.current and talker.engines.current.users == 3)
        script.seconds_a_token = 0.001
        texts, lasts, answer = await asked
        await until(lambda: talker.engines.current.users == 0)
    assert [len(text.split()) for text in texts] == [8, 8, 8]
    assert [last.index for last in lasts] == [0, 1, 2]
    used = await only_usage()
    assert (used.requests, used.prompt_tokens, used.completion_tokens) == (1, answer.prompt_tokens, 24)


async def test_a_reader_that_goes_away_frees_the_engine_and_pays_for_what_it_got(alice, scripted_policy, script):
    script.seconds_a_token, script.tokens = 0.02, 2000
    got = []
    async with talking() as talker:
        reader = asyncio.create_task(read_into(got, question(alice, max_completion_tokens=1000)))
        await until(lambda: len(got) > 5)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await until(lambda: not talker.engines.current.users, timeout=1)
    used = await only_usage()
    assert used.completion_tokens == len("".join(got).split())
    assert used.prompt_tokens > 0


async def test_a_reader_that_stops_reading_leaves_in_the_same_way(alice, scripted_policy, script):
    script.seconds_a_token, script.tokens = 0.02, 2000
    async with talking() as talker:
        async with (
            stream_completions(question(alice, max_completion_tokens=1000)) as answer,
            aclosing(answer.pieces) as pieces,
        ):
            first = await anext(pieces)
        assert first.text
        await until(lambda: not talker.engines.current.users, timeout=1)
    assert (await only_usage()).completion_tokens == len(first.text.split())


async def test_who_leaves_while_waiting_leaves_the_line(alice, scripted_policy):
    waiting = asyncio.create_task(all_of(question(alice)))  # nobody talks
    async with asyncio.timeout(5):
        while not await Ticket.objects.filter(state="queued").aexists():
            await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await Ticket.objects.aget()).state == "ended"
    assert not await Usage.objects.aexists()


async def test_a_process_that_was_killed_is_billed_for_what_it_had_noted(alice, scripted_policy, script, settings):
    ticket = await sync_to_async(tickets.queue)(askings.uuid4(), alice.pk, None, None, 1)
    async with talking() as talker:
        await until(lambda: talker.granted)
        await sync_to_async(tickets.renew)({ticket.pk: tickets.Used(5, 3)})
        await Ticket.objects.filter(pk=ticket.pk).aupdate(lease_until=timezone.now() - timedelta(seconds=1))
        await until(lambda: not talker.engines.current.users)
    await sync_to_async(reaping.reap)()
    used = await only_usage()
    assert (used.prompt_tokens, used.completion_tokens) == (5, 3)
    assert await sync_to_async(tickets.end)(ticket.pk, tickets.Used(9, 9)) is False
    assert await Usage.objects.acount() == 1


# --- engines ------------------------------------------------------------------------------------------------------


async def test_a_named_policy_is_loaded_for_it(alice, scripted_policy):
    other = await Policy.objects.acreate(
        name="other", version=2, is_scripted=True, base=scripted_policy, label="mine"
    )
    await Price.objects.aupdate_or_create(model="davinci", defaults={"prompt": 1})  # new tables hold a price of it
    async with talking():
        _, _, answer = await all_of(CompletionSpec(alice, None, other, Parameters(), text="Once", names=["davinci"]))
    assert answer.policy == other
    used = await only_usage()
    assert (used.model, used.priced_as) == ("other", "davinci")


async def test_an_engine_that_drains_lives_until_the_ticket_has_ended(alice, scripted_policy, script):
    script.seconds_a_token, script.tokens = 0.02, 60
    new = await Policy.objects.acreate(name="new", version=2, is_scripted=True)
    async with talking() as talker, stream_completions(question(alice, max_completion_tokens=60)) as answer:
        texts = [(await anext(answer.pieces)).text]
        await Policy.objects.filter(pk=scripted_policy.pk).aupdate(is_live=False)
        await Policy.objects.filter(pk=new.pk).aupdate(is_live=True)
        await until(lambda: talker.engines.current is not None and talker.engines.current.policy == new)
        assert {loaded.policy.name for loaded in talker.engines.engines} == {"scripted", "new"}
        texts += [piece.text async for piece in answer.pieces]
        assert len("".join(texts).split()) == 60


async def test_an_engine_that_goes_away_is_told_and_what_came_is_paid(alice, scripted_policy, script):
    script.fail_after, script.text = 6, "One two. Three four. Five six seven."
    got = []
    async with talking():
        with pytest.raises(EngineDown):
            await read_into(got, question(alice))
    assert (await only_usage()).completion_tokens == len("".join(got).split()) >= 4
    assert (await Ticket.objects.aget()).error == "engine_down"


async def test_what_failed_before_a_word_costs_nothing(alice, scripted_policy, script):
    script.fail_after = 0
    async with talking():
        with pytest.raises(EngineDown):
            await all_of(question(alice))
    used = await only_usage()
    assert (used.prompt_tokens, used.completion_tokens) == (0, 0)


async def test_a_policy_that_can_not_be_loaded_says_so_to_those_who_named_it(alice, scripted_policy, tiny_policy):
    bad = await sync_to_async(install)(tiny_policy, "tiny-bad-ticket")
    with (policies.directory(bad) / "policy.gguf").open("r+b") as file:
        file.seek(2000)
        file.write(b"\xff\xff\xff")
    async with talking():
        with pytest.raises(BadPolicy):
            await all_of(question(alice, policy=bad))
        assert (await all_of(question(alice)))[0][0]


async def test_where_nobody_talks_the_wait_ends(alice, scripted_policy, monkeypatch):
    monkeypatch.setattr(reaping, "QUEUE_PATIENCE", timedelta(0))
    monkeypatch.setattr(ticket_poller, "RENEW_EVERY_S", 0.05)
    with pytest.raises(EngineDown):
        await all_of(question(alice))


# --- what is not let in -------------------------------------------------------------------------------------------


async def test_a_question_that_a_guard_blocks_takes_no_place(alice, scripted_policy):
    turns = [
        {"role": "user", "content": "A cat"},
        {"role": "assistant", "content": "?"},
        {"role": "user", "content": ""},
    ]
    for asked in (question(alice, "The cat sat"), CompletionSpec(alice, None, None, Parameters(), turns=turns)):
        with pytest.raises(Blocked):
            await all_of(asked)
    assert not await Ticket.objects.aexists()


async def test_past_the_limits_a_question_waits_outside(alice, scripted_policy, settings):
    settings.API_CONCURRENCY, settings.CHAT_QUEUE_LIMIT = 2, 3
    queue = sync_to_async(tickets.queue)
    first = await queue(askings.uuid4(), alice.pk, None, None, 1)
    await queue(askings.uuid4(), alice.pk, None, None, 1)
    with pytest.raises(TooManyReplies) as refusal:
        await all_of(question(alice))
    assert refusal.value.retry_after_s
    await sync_to_async(tickets.end)(first.pk)
    room = await Conversation.objects.acreate(owner=alice)
    message = await Message.objects.acreate(conversation=room, role="user", text="Hi")
    for _ in range(2):
        await sync_to_async(replies.queue)(message, {})
    with pytest.raises(QueueFull):  # one ticket and two replies wait
        await all_of(question(alice))


async def test_a_spent_budget_closes_the_door_of_its_owner_or_of_its_key(alice, scripted_policy):
    key, _ = await sync_to_async(keys.make)(alice, "mine")
    await Usage.objects.acreate(ref="x", user=alice, key=key, kind="api", model="m", cost=10)
    await Budget.objects.acreate(key=key, period="month", limit=10)
    with pytest.raises(BudgetUsedUp) as refusal:
        await all_of(CompletionSpec(alice, key, None, Parameters(), text="Hi"))
    assert 0 < refusal.value.retry_after_s <= 31 * 86400
    async with talking():
        assert (await all_of(question(alice)))[0][0], "without the key it is another purse"
    await Budget.objects.acreate(user=alice, period="total", limit=10)
    with pytest.raises(BudgetUsedUp):
        await all_of(question(alice))


async def test_nothing_is_ever_left_out_of_what_a_program_sends(alice, scripted_policy, settings):
    settings.CHAT_CONTEXT_TOKENS = 300
    turns = [{"role": role, "content": "word " * 60} for role in ("user", "assistant", "user")]
    asked = CompletionSpec(alice, None, None, Parameters(max_completion_tokens=16), turns=turns)
    with pytest.raises(ContextExceeded) as refusal:
        await all_of(asked)
    assert "300" in str(refusal.value.message)
    with pytest.raises(ContextExceeded):
        await all_of(question(alice, "word " * 100, max_completion_tokens=200))
    async with talking():
        _, (last,), answer = await all_of(
            CompletionSpec(alice, None, None, Parameters(max_completion_tokens=200), text="word " * 100, shrinks=True)
        )
    assert last.completion_tokens <= 300 - answer.prompt_tokens


async def test_a_site_without_a_model_and_a_model_without_weights_say_so_at_once(alice, script):
    with pytest.raises(NoLivePolicy):
        await all_of(question(alice))
    gone = await Policy.objects.acreate(name="gone", version=1, is_scripted=True, retired_at=timezone.now())
    with pytest.raises(PolicyRetired):
        await all_of(question(alice, policy=gone))


async def test_a_blocked_completion_ends_where_it_passed_and_the_others_go_on(
    alice, scripted_policy, script, monkeypatch
):
    said = {0: "A dog. A cat sleeps. More.", 1: "A dog. A bird sings. More.", 2: "A cat."}

    async def stream_many(self, prompt, parameters, n):
        from chat.engines.engine import Piece

        for place in range(6):
            for index in range(n):
                words = said[index].split(" ")
                if place < len(words):
                    yield Piece((" " if place else "") + words[place], index=index)
                    await asyncio.sleep(0.005)
        for index in range(n):
            yield Piece("", "stop", 4, 99, index=index)

    monkeypatch.setattr("chat.engines.scripted.ScriptedEngine.stream_many", stream_many)
    async with talking():
        texts, lasts, _ = await all_of(question(alice, n=3))
    assert [text.strip() for text in texts] == ["A dog.", "A dog. A bird sings. More.", "A"]
    assert [last.finish_reason for last in lasts] == ["content_filter", "stop", "content_filter"]
    assert [last.completion_tokens for last in lasts] == [len(text.split(" ")) for text in texts]
    assert (await only_usage()).completion_tokens == sum(last.completion_tokens for last in lasts)


async def test_a_prompt_that_is_only_read_is_metered_without_a_place(alice, scripted_policy):
    answer = await meter_prompt(question(alice, "To be read"))
    assert [piece async for piece in answer.pieces] == []
    used = await only_usage()
    assert (used.prompt_tokens, used.completion_tokens) == (answer.prompt_tokens, 0)
    assert not await Ticket.objects.aexists()


# --- the real engine ----------------------------------------------------------------------------------------------


async def test_raw_text_and_its_ids_are_completed_as_transformers_would_and_counted_by_its_tokenizer(
    alice, tiny_policy, settings
):
    from transformers import AutoTokenizer

    settings.CHAT_CONTEXT_TOKENS = 512
    policy = await sync_to_async(install)(tiny_policy, "tiny-raw", is_live=True)
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    text = "The <|im_end|> sun is a"
    plain = tokenizer("The sun is a").input_ids
    async with talking():
        (said,), (last,), answer = await all_of(question(alice, text, temperature=0, max_completion_tokens=24))
        from_text = await all_of(question(alice, "The sun is a", temperature=0, max_completion_tokens=24))
        by_ids = CompletionSpec(alice, None, None, Parameters(temperature=0, max_completion_tokens=24), ids=plain)
        from_ids = await all_of(by_ids)
        several = await all_of(question(alice, "The sun", n=3, temperature=1.0, seed=3, max_completion_tokens=20))
        empty = await all_of(question(alice, "", max_completion_tokens=4))
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") not in answer.ids
    assert tokenizer.decode(answer.ids) == text
    assert from_text[0] == from_ids[0]
    assert from_text[2].ids == plain == from_ids[2].ids
    wanted = await asyncio.to_thread(greedy, tiny_policy, plain, 24)
    assert from_text[0][0] == wanted
    for texts, lasts, asked in (([said], [last], answer), from_text, several):
        assert asked.prompt_tokens == len(asked.ids)
        for one, end in zip(texts, lasts, strict=True):
            counted = len(tokenizer(one, add_special_tokens=False).input_ids)
            assert end.completion_tokens == counted or (end.finish_reason == "length" and "\ufffd" in one)
    assert empty[2].ids == [tokenizer.bos_token_id]
    total = sum(end.completion_tokens for run in (from_text, from_ids, several, empty) for end in run[1])
    rows = [row.completion_tokens async for row in Usage.objects.all()]
    assert sum(rows) == total + last.completion_tokens
    with pytest.raises(BadParameters):
        await all_of(CompletionSpec(alice, None, policy, Parameters(), ids=[10**6]))


def greedy(directory, ids, tokens):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    made = model.generate(torch.tensor([ids]), max_new_tokens=tokens, do_sample=False)[0][len(ids) :]
    return AutoTokenizer.from_pretrained(directory).decode(made, skip_special_tokens=True)


async def test_scores_are_those_of_a_plain_forward_pass_and_leave_no_text_behind(alice, tiny_policy):
    policy = await sync_to_async(install)(tiny_policy, "tiny-score", is_live=True)
    told = await sync_to_async(spelled)(policy, "A 무지개 is a star.")
    ids = [number for number, _ in told]
    assert "".join(text for _, text in told) == "A 무지개 is a star."
    async with talking():
        tokens = await score(alice, policy, ids, 3)
        bare = await score(alice, policy, ids, 0)
    own, tops = await asyncio.to_thread(forward_pass, tiny_policy, ids[:1], ids[1:], 3)
    assert [token.id for token in tokens] == ids[1:]
    assert [token.logprob for token in tokens] == pytest.approx(own, abs=1e-3)
    for token, top in zip(tokens, tops, strict=True):
        assert {other.id: other.logprob for other in token.top} == pytest.approx(top, abs=1e-3)
    assert [token.top for token in bare] == [()] * len(own)
    assert not await Scoring.objects.aexists()


async def test_without_weights_nothing_can_be_scored(alice, scripted_policy):
    with pytest.raises(NoProbabilities):
        await score(alice, scripted_policy, [1, 2], 0)


# --- many at once -------------------------------------------------------------------------------------------------


async def test_many_programs_and_people_share_the_slots_and_none_is_lost(alice, scripted_policy, script, settings):
    settings.API_CONCURRENCY, settings.CHAT_QUEUE_LIMIT = 100, 100
    script.seconds_a_token, script.tokens = 0.005, 6
    room = await Conversation.objects.acreate(owner=alice)
    message = await Message.objects.acreate(conversation=room, role="user", text="Hi")
    most = 0
    async with talking() as talker:
        asked = [asyncio.create_task(all_of(question(alice, f"No. {n}", n=1 + n % 3))) for n in range(18)]
        said = [await sync_to_async(replies.queue)(message, {}) for _ in range(6)]
        async with asyncio.timeout(60):
            while not all(task.done() for task in asked) or await unended(said):
                most = max(most, *(loaded.users for loaded in talker.engines.engines), 0)
                await asyncio.sleep(0.01)
        await until(lambda: not talker.engines.current.users)
    assert 1 < most <= settings.CHAT_ENGINE_SLOTS
    answers = [task.result() for task in asked]
    assert [len(texts) for texts, _, _ in answers] == [1 + n % 3 for n in range(18)]
    billed = [row async for row in Usage.objects.all()]
    assert len(billed) == 24
    told = sum(last.completion_tokens for _, lasts, _ in answers for last in lasts)
    assert sum(row.completion_tokens for row in billed if row.kind == "api") == told == 18 * 2 * 6


async def unended(asked):
    return await replies.Reply.objects.filter(pk__in=[row.pk for row in asked], ended_at=None).acount()


async def test_where_the_wait_for_tickets_breaks_nobody_waits_for_ever(alice, scripted_policy, monkeypatch):
    def breaks(ids):
        raise KeyError("unforeseen")

    monkeypatch.setattr(tickets, "by_id", breaks)
    with pytest.raises(EngineDown):
        await all_of(question(alice))
    monkeypatch.undo()
    async with talking():
        assert (await all_of(question(alice)))[0][0]
