"""Replies chosen among several completions and guarded by the rule model, by the talker and a scripted scorer."""

import asyncio
import os
import signal
import threading
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async

from base.database_thread import DatabaseThread
from chat import fsck, guards
from chat.choosing import client, log, plan
from chat.choosing.source import ScorerAddress
from chat.engines.engine import Parameters
from chat.errors import ScorerDown
from chat.models import Candidate, Choice, Chunk, Message, Pair, Policy, Reply
from chat.queue import replies
from chat.talker.choosing import Chooser
from metering.models import Usage
from tests.chat.choosing.scripted_source import ScriptedSource
from tests.chat.sockets import opened, text_of
from tests.chat.talkers import ask, ended, talking, until

pytestmark = pytest.mark.django_db(transaction=True)
TEXTS = ("a good fool", "plain words", "good good words", "one good word")


async def reply_of(alice, conversation):
    """The reply to a message with all frames about it, held to its chunks."""
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        heard = await socket.hear_until("reply.done", timeout=40)
    row = await Reply.objects.select_related("message").aget()
    chunks = [chunk.text async for chunk in Chunk.objects.filter(reply=row).order_by("seq")]
    assert row.message.text == "".join(chunks) == heard[-1]["text"] == text_of(heard)
    assert await sync_to_async(lambda: list(fsck.text_is_its_chunks()))() == []
    return row, heard


async def logged():
    return [row async for row in Candidate.objects.order_by("number")]


def told_of_choice(heard):
    frames = [frame["choice"] for frame in heard if frame["type"] == "reply.state" and frame["choice"]]
    return frames[-1]


async def test_off_nothing_is_chosen_recorded_or_started(conversation, alice, scripted_policy, script, choose):
    row, heard = await reply_of(alice, conversation)
    assert row.state == "complete"
    assert all(frame["choice"] is None for frame in heard if frame["type"] == "reply.state")
    assert not await Choice.objects.aexists()


async def test_the_best_of_four_is_shown_and_all_four_are_recorded(
    conversation, alice, scripted_policy, script, choose
):
    script.texts = TEXTS
    await sync_to_async(choose)(best_of=4)
    row, heard = await reply_of(alice, conversation)
    assert (row.state, row.finish_reason, row.message.text) == ("complete", "stop", "good good words")
    choice = await Choice.objects.aget()
    assert (choice.best_of, choice.outcome, choice.scorer) == (4, "chosen", "scripted")
    rows = await logged()
    assert sorted(one.text for one in rows) == sorted(TEXTS)
    assert [one.text for one in rows if one.is_chosen] == ["good good words"]
    # mean of the scores is 1; 0.9 and 0.8 are the probabilities that the two rules are followed
    best = next(one for one in rows if one.is_chosen)
    assert (best.score, best.reason, best.violations) == (2.0, "best", {"insults": 0.1, "lies": 0.2})
    assert best.rank_score == pytest.approx(0.7310586 * (0.9 * 0.8) ** 0.5)
    assert min(choice.sampling_ms, choice.scoring_ms) >= 0
    assert told_of_choice(heard) == {
        "best_of": 4,
        "outcome": "chosen",
        "took_ms": choice.sampling_ms + choice.scoring_ms,
    }
    assert row.completion_tokens == 3
    assert await sync_to_async(lambda: list(fsck.chosen_texts_are_shown()))() == []
    await Candidate.objects.filter(is_chosen=True).aupdate(text="another")
    assert len(await sync_to_async(lambda: list(fsck.chosen_texts_are_shown()))()) == 1
    await Candidate.objects.all().adelete()
    assert len(await sync_to_async(lambda: list(fsck.chosen_texts_are_shown()))()) == 1
    assert await Usage.objects.filter(ref=f"reply:{row.pk}").acount() == 1


async def test_a_reply_takes_no_more_places_than_the_engine_has(
    conversation, alice, scripted_policy, script, choose, settings
):
    settings.CHAT_ENGINE_SLOTS = 2
    script.texts = TEXTS
    await sync_to_async(choose)(best_of=4)
    row, _ = await reply_of(alice, conversation)
    assert row.state == "complete"
    assert (await Choice.objects.aget()).best_of == len(await logged()) == 2


async def test_nothing_is_shown_while_it_chooses_and_stop_ends_it(
    conversation, alice, scripted_policy, script, choose
):
    script.seconds_a_token, script.tokens = 0.05, 400
    await sync_to_async(choose)(best_of=3)
    async with talking() as talker, opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        heard = []
        while not any((frame.get("choice") or {}).get("outcome") == "open" for frame in heard):
            heard.append(await socket.hear())
        assert talker.engines.current.users == 3
        reply = heard[-1]["reply"]
        await socket.say(type="reply.stop", reply=reply, seq=0)
        done = (await socket.hear_until("reply.done"))[-1]
        assert (done["state"], done["text"]) == ("stopped", "")
        async with asyncio.timeout(2):
            while talker.active or talker.engines.current.users:
                await asyncio.sleep(0.01)
    assert not await Candidate.objects.aexists()


async def test_stop_while_it_is_scored_ends_it_too(conversation, alice, scripted_policy, script, choose, scorer):
    scorer({"hang": True})
    await sync_to_async(choose)(best_of=2, insults=0.5)
    async with talking() as talker, opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        accepted = await socket.hear_until("message.accepted")
        async with asyncio.timeout(10):
            while not talker.chooser.scorer._waiting or talker.chooser.scorer._loading:
                await asyncio.sleep(0.01)
        await socket.say(type="reply.stop", reply=accepted[-1]["reply"]["id"], seq=0)
        done = (await socket.hear_until("reply.done"))[-1]
    assert (done["state"], done["text"]) == ("stopped", "")


@pytest.mark.parametrize("how", [{"die": True}, None])
async def test_where_the_scorer_fails_the_first_is_shown_and_marked(
    conversation, alice, scripted_policy, script, choose, scorer, how
):
    script.texts = TEXTS
    await sync_to_async(choose)(best_of=4)
    scorer(how)
    row, heard = await reply_of(alice, conversation)
    assert row.state == "complete"
    if how is None:  # no reward model for the policy: a plain reply
        assert not await Choice.objects.aexists()
        return
    rows = await logged()
    assert [(one.is_chosen, one.reason) for one in rows] == [(True, "first")] + [(False, "unscored")] * 3
    assert row.message.text == rows[0].text
    assert told_of_choice(heard)["outcome"] == (await Choice.objects.aget()).outcome == "unscored"


@pytest.mark.parametrize("how", [{"die": True}, None])
@pytest.mark.parametrize("best_of", [1, 3])
async def test_a_guard_without_a_scorer_lets_nothing_pass(
    conversation, alice, scripted_policy, script, choose, scorer, how, best_of
):
    scorer(how)
    await sync_to_async(choose)(best_of=best_of, insults=0.95)
    row, heard = await reply_of(alice, conversation)
    assert (row.state, row.message.text, row.blocked_by) == ("blocked", "", guards.TIMED_OUT)
    told = [frame for frame in heard if frame["type"] == "reply.state"][-1]
    assert told["blocked_by"]["name"] == "a failed check"
    assert (await Choice.objects.aget()).outcome == "blocked"
    assert len(await logged()) == best_of


async def test_a_scorer_that_answers_nothing_is_given_up_and_ended(
    conversation, alice, scripted_policy, script, choose, scorer, monkeypatch
):
    monkeypatch.setattr(client, "LIMIT_S", 1.0)
    scorer({"hang": True})
    await sync_to_async(choose)(insults=0.5)
    row, _ = await reply_of(alice, conversation)
    assert (row.state, row.message.text) == ("blocked", "")


async def test_a_rule_that_the_reward_model_can_not_tell_lets_nothing_pass(
    conversation, alice, scripted_policy, script, choose
):
    await sync_to_async(choose)(other=0.5)
    row, _ = await reply_of(alice, conversation)
    assert (row.state, row.message.text) == ("blocked", "")


async def test_a_guarded_reply_is_shown_at_once_or_not_at_all(conversation, alice, scripted_policy, script, choose):
    script.text = "You are a fool"
    await sync_to_async(choose)(insults=0.5)
    row, heard = await reply_of(alice, conversation)
    assert (row.state, row.message.text, row.blocked_by) == ("blocked", "", "insults")
    (only,) = await logged()
    assert (only.text, only.reason, only.left_out_by, only.is_chosen) == (script.text, "rule", "insults", False)
    assert "fool" not in str(heard)


async def test_below_its_limit_it_is_shown_in_one_piece(conversation, alice, scripted_policy, script, choose):
    script.text, script.seconds_a_token = "You are a good person", 0.05
    await sync_to_async(choose)(insults=0.5)
    row, heard = await reply_of(alice, conversation)
    assert (row.state, row.message.text) == ("complete", script.text)
    assert len([frame for frame in heard if frame["type"] == "reply.chunk"]) == 1


async def test_completions_above_a_limit_are_left_out(conversation, alice, scripted_policy, script, choose):
    script.texts = ("good good good fool", "plain words")
    await sync_to_async(choose)(best_of=2, insults=0.5)
    row, _ = await reply_of(alice, conversation)
    assert row.message.text == "plain words"
    assert sorted(one.reason for one in await logged()) == ["best", "rule"]


class NoCats(guards.Guard):
    def check_reply(self, text, conversation):
        if "cat" in text:
            raise guards.Blocked("no-cats")


async def test_what_other_guards_block_is_left_out_too(
    conversation, alice, scripted_policy, script, choose, settings
):
    settings.CHAT_GUARDS = ["tests.chat.choosing.test_chosen_replies.NoCats"]
    script.texts = ("good good cat", "a bird")
    await sync_to_async(choose)(best_of=2)
    row, _ = await reply_of(alice, conversation)
    assert row.message.text == "a bird"
    assert [one.left_out_by for one in await logged() if not one.is_chosen] == ["no-cats"]


async def test_an_engine_that_goes_away_interrupts_it_with_nothing_shown(
    conversation, alice, scripted_policy, script, choose
):
    script.fail_after = 3
    await sync_to_async(choose)(best_of=2)
    row, _ = await reply_of(alice, conversation)
    assert (row.state, row.message.text) == ("interrupted", "")
    assert (await Choice.objects.aget()).outcome == "failed"
    assert {one.reason for one in await logged()} == {"unfinished"}


async def test_a_given_beginning_stays_and_is_scored_with_what_follows(
    conversation, alice, scripted_policy, script, choose
):
    script.texts = ("and good", "and so on")
    await sync_to_async(choose)(best_of=2, insults=0.5)
    question = await Message.objects.acreate(conversation=conversation, role="user", text="Hi")
    reply = await sync_to_async(replies.queue)(question, {}, prefix="Birds sing ")
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="reply.resume", reply=reply.pk, after_seq=0)
        done = (await socket.hear_until("reply.done"))[-1]
    assert (done["state"], done["text"]) == ("complete", "Birds sing and good")
    reply = await sync_to_async(replies.queue)(question, {}, prefix="You fool ")
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="reply.resume", reply=reply.pk, after_seq=0)
        done = (await socket.hear_until("reply.done"))[-1]
    assert (done["state"], done["text"]) == ("blocked", "You fool ")


async def test_one_of_a_pair_is_guarded_and_not_chosen(conversation, alice, scripted_policy, script, choose):
    await sync_to_async(choose)(best_of=4, insults=0.5)
    question = await Message.objects.acreate(conversation=conversation, role="user", text="Hi")
    sides = [await sync_to_async(replies.queue)(question, {"seed": seed}) for seed in (1, 2)]
    await Pair.objects.acreate(message=question, left=sides[0], right=sides[1])
    async with talking():
        async with asyncio.timeout(20):
            while await Reply.objects.exclude(state="complete").aexists():
                await asyncio.sleep(0.02)
    assert [choice.best_of async for choice in Choice.objects.all()] == [1, 1]


async def test_at_temperature_zero_one_is_written(conversation, alice, scripted_policy, script, choose):
    await sync_to_async(choose)(best_of=4)
    question = await Message.objects.acreate(conversation=conversation, role="user", text="Hi")
    await sync_to_async(replies.queue)(question, {"temperature": 0})
    async with talking():
        async with asyncio.timeout(20):
            while await Reply.objects.exclude(state="complete").aexists():
                await asyncio.sleep(0.02)
    assert not await Choice.objects.aexists()


# --- the child process -------------------------------------------------------------------------------------------

ADDRESS = ScorerAddress("scripted", "tests.chat.choosing.scripted_scorer", "{}")
HELLO = [client.Written("a good day", True)]


async def test_a_scorer_that_is_killed_says_so_at_once_and_the_next_request_starts_another():
    process = client.ScorerProcess()
    try:
        assert [one.score for one in await process.score(ADDRESS, [], HELLO)] == [1.0]
        first = process.pid
        os.kill(first, signal.SIGSTOP)
        asked = asyncio.create_task(process.score(ADDRESS, [], HELLO))
        await asyncio.sleep(0.05)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(ScorerDown):
            await asyncio.wait_for(asked, 5)
        assert (await process.score(ADDRESS, [], HELLO))[0].violations == {"insults": 0.1, "lies": 0.2}
        assert process.pid != first
    finally:
        await process.close()
    assert process.pid is None


async def test_answers_go_to_whom_they_are_for_when_some_have_left():
    process = client.ScorerProcess()
    try:
        await process.load(ADDRESS)
        texts = ["good " * n for n in range(6)]
        asked = [asyncio.create_task(process.score(ADDRESS, [], [client.Written(text, True)])) for text in texts]
        await asyncio.sleep(0)
        asked[2].cancel()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [one[0].score for number, one in enumerate(found) if number != 2] == [0.0, 1.0, 3.0, 4.0, 5.0]
    finally:
        await process.close()


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "no such file"},
        {"scores": [1.0], "violations": []},
        {"scores": [float("nan")], "violations": [{}]},
        {"scores": [1.0], "violations": [{"insults": float("nan")}]},
        {"scores": [1.0, 2.0], "violations": [{}, {}]},
        {},
    ],
)
def test_an_answer_that_says_nothing_is_a_failure(answer):
    with pytest.raises(ScorerDown):
        client._read(answer, 1)


async def test_it_is_loaded_while_it_is_needed_and_ended_after(scripted_policy, choose, monkeypatch):
    monkeypatch.setattr("chat.talker.choosing.LOOK_EVERY_S", 0.05)
    database = DatabaseThread("test")
    chooser = Chooser(database)
    running = asyncio.create_task(chooser.run())

    async def wait_for(is_there):
        async with asyncio.timeout(10):
            while (chooser.scorer.pid is not None) is not is_there:
                await asyncio.sleep(0.02)

    try:
        await sync_to_async(choose)(best_of=2)
        await wait_for(is_there=True)
        await sync_to_async(choose)(best_of=1)
        await wait_for(is_there=False)
    finally:
        running.cancel()
        await asyncio.wait([running])
        await database.close()


@pytest.mark.parametrize("guarded", [True, False])
async def test_without_a_reward_model_for_now_only_what_is_guarded_is_not_shown(
    alice, scripted_policy, script, choose, monkeypatch, guarded
):
    def bring(source, policy):
        raise ScorerDown("no route to the storage")

    monkeypatch.setattr(ScriptedSource, "bring", bring)
    await sync_to_async(choose)(best_of=2, **({"insults": 0.5} if guarded else {}))
    async with talking():
        rows = [await ended(await ask(alice)) for _ in range(2)]
    assert [row.state for row in rows] == ["blocked" if guarded else "complete"] * 2


async def test_while_a_reward_model_is_brought_nothing_else_waits(scripted_policy, choose, monkeypatch):
    """It may be copied to this host for minutes."""
    asked, may_end, brought = threading.Event(), threading.Event(), threading.Event()

    def bring(source, policy):
        asked.set()
        may_end.wait(30)
        brought.set()

    monkeypatch.setattr(ScriptedSource, "bring", bring)
    await sync_to_async(choose)(best_of=2)
    async with talking() as talker:
        await until(asked.is_set)
        assert await talker.database(Reply.objects.count) == 0
        assert not brought.is_set()
        may_end.set()


async def test_replies_wait_for_no_other_policy_s_reward_model_and_not_long_for_their_own(
    scripted_policy, choose, monkeypatch
):
    asked, may_end = threading.Event(), threading.Event()
    real = ScriptedSource.bring

    def bring(source, policy):
        if policy != scripted_policy:
            asked.set()
            may_end.wait(60)
        return real(source, policy)

    monkeypatch.setattr(ScriptedSource, "bring", bring)
    monkeypatch.setattr(plan, "needs_of", lambda *given: "something")
    monkeypatch.setattr(plan, "plan_for", lambda reply, parameters, needs, scorer: scorer)
    monkeypatch.setattr("chat.talker.choosing.BRINGING_LIMIT_S", 600.0)
    await sync_to_async(choose)(best_of=2)
    other = await Policy.objects.acreate(name="other", version=9, is_scripted=True)
    reply, parameters, database = Reply(pk=uuid4()), Parameters(), DatabaseThread("test")
    chooser = Chooser(database)
    tasks = [asyncio.create_task(chooser.run())]
    try:
        await until(lambda: chooser.scorer.pid is not None)
        tasks.append(asyncio.create_task(chooser.plan(reply, parameters, other)))
        await until(asked.is_set)
        async with asyncio.timeout(30):
            assert (await chooser.plan(reply, parameters, scripted_policy)).label == "scripted"
            monkeypatch.setattr("chat.talker.choosing.BRINGING_LIMIT_S", 0.05)
            assert await chooser.plan(reply, parameters, other) is None
    finally:
        may_end.set()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await chooser.close()
        await database.close()


async def test_what_is_loaded_stays_loaded_while_nothing_is_known_of_what_is_wanted(
    scripted_policy, choose, monkeypatch
):
    monkeypatch.setattr("chat.talker.choosing.LOOK_EVERY_S", 0.02)
    monkeypatch.setattr("chat.talker.choosing.PAUSE_AFTER_ERROR_S", 0.02)
    database, refused = DatabaseThread("test"), []

    def bring(source, policy):
        refused.append(policy)
        raise ScorerDown("no route to the storage")

    await sync_to_async(choose)(best_of=2)
    chooser = Chooser(database)
    running = asyncio.create_task(chooser.run())
    try:
        await until(lambda: chooser.scorer.pid is not None)
        pid = chooser.scorer.pid
        monkeypatch.setattr(ScriptedSource, "bring", bring)
        await until(lambda: len(refused) > 2)
        assert chooser.scorer.pid == pid
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait([running])
        await database.close()


def test_how_long_it_took(scripted_policy, conversation):
    question = Message.objects.create(conversation=conversation, role="user", text="Hi")
    for ms in range(1, 101):
        reply = replies.queue(question, {})
        Choice.objects.create(reply=reply, best_of=2, outcome="chosen", sampling_ms=ms, scoring_ms=2 * ms)
    latency = log.latency()
    assert (latency.choices, latency.sampling.median, latency.scoring.median) == (100, 50.5, 101.0)
    assert latency.sampling.p95 == pytest.approx(95.05)  # numpy.percentile(range(1, 101), 95)
