"""A turn from the socket through the talker and back, with the scripted engine."""

import asyncio
import re
import threading
from contextlib import AsyncExitStack

import pytest
from asgiref.sync import sync_to_async
from django.db.utils import OperationalError

from base.database_thread import DatabaseThread
from chat.models import Chunk, Conversation, Message, Reply
from chat.queue import claims, replies, wakeup
from chat.talker import talker as talker_module
from chat.talker.talker import Talker
from chat.websocket import tail
from tests.chat.policies import swap
from tests.chat.sockets import opened, text_of
from tests.chat.talkers import talking

pytestmark = pytest.mark.django_db(transaction=True)


def numbers_in(heard):
    """Of the chunks that frames told, one by one or several at once."""
    frames = [frame for frame in heard if frame["type"] == "reply.chunk"]
    return [number for frame in frames for number in range(frame["first"], frame["seq"] + 1)]


async def test_a_message_is_answered(conversation, alice, scripted_policy, script):
    script.text = "**Hello** from the script"
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        accepted = await socket.hear()
        assert accepted["type"] == "message.accepted"
        assert accepted["key"] == "k1"
        assert accepted["message"] == {"id": accepted["message"]["id"], "parent": None, "text": "Hi"}
        heard = await socket.hear_until("reply.done")
    done = heard[-1]
    assert text_of(heard) == done["text"] == script.text
    assert done["html"] == "<p><strong>Hello</strong> from the script</p>\n"
    assert done["policy"] == {"name": "scripted", "version": 1}
    assert numbers_in(heard) == list(range(1, done["seq"] + 1))
    states = [frame["state"] for frame in heard if frame["type"] == "reply.state"]
    assert states[0] in ("queued", "streaming")
    assert states[-1] == "complete"
    reply = await Reply.objects.select_related("message", "policy").aget()
    assert (reply.state, reply.finish_reason, reply.last_seq) == ("complete", "stop", done["seq"])
    assert reply.message.text == script.text
    assert reply.policy == scripted_policy
    assert reply.completion_tokens == 4


async def test_labels_in_a_reply_are_in_the_language_of_each_reader(conversation, alice, scripted_policy, script):
    script.text = "- [x] sleep\n- [ ] eat\n"
    languages = {"en": ("Task done", "Task not done"), "ko": ("완료한 할 일", "남은 할 일")}
    async with AsyncExitStack() as stack:
        readers = {
            language: await stack.enter_async_context(opened(conversation, alice, language=language))
            for language in languages
        }
        await readers["en"].say(type="message.send", text="Hi", key="k1", parent=None)
        for reader in readers.values():
            await reader.hear_until("message.accepted")
        async with talking():
            ends = {language: (await reader.hear_until("reply.done"))[-1] for language, reader in readers.items()}
    for language, labels in languages.items():
        assert re.findall('aria-label="([^"]+)"', ends[language]["html"]) == list(labels)


async def test_who_learned_from_simulated_judgements_is_told_as_that_at_once(conversation, alice, scripted_policy):
    scripted_policy.made_from_simulated = True
    await scripted_policy.asave()
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        heard = await socket.hear_until("reply.done")
    told = [frame["policy"] for frame in heard if frame.get("policy")]
    assert told
    assert all(policy["simulated"] for policy in told)


async def test_stop_keeps_exactly_what_was_seen(conversation, alice, scripted_policy, script):
    script.seconds_a_token, script.tokens = 0.03, 500
    async with talking() as talker, opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        heard = []
        while sum(frame["type"] == "reply.chunk" for frame in heard) < 4:
            heard.append(await socket.hear())
        last = next(frame for frame in heard if frame.get("seq", 0) >= 3)
        reply, seen = last["reply"], last["seq"]
        await socket.say(type="reply.stop", reply=reply, seq=seen)
        done = (await socket.hear_until("reply.done"))[-1]
        assert done["state"] == "stopped"
        assert done["text"] == "".join(f["text"] for f in heard if f["type"] == "reply.chunk" and f["seq"] <= seen)
        async with asyncio.timeout(1):  # the engine is free again
            while talker.active or talker.engines.current.users:
                await asyncio.sleep(0.01)
    row = await Reply.objects.select_related("message").aget(pk=reply)
    chunks = [chunk.text async for chunk in Chunk.objects.filter(reply=reply).order_by("seq")]
    assert row.message.text == "".join(chunks) == done["text"]
    assert row.last_seq == len(chunks) == seen


async def test_a_queued_reply_says_its_place_and_can_be_stopped(conversation, alice, scripted_policy):
    async with opened(conversation, alice) as socket:  # nobody talks
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        reply = (await socket.hear())["reply"]["id"]
        state = await socket.hear()
        assert (state["state"], state["position"]) == ("queued", 1)
        await socket.say(type="reply.stop", reply=reply, seq=0)
        heard = await socket.hear_until("reply.done")
        assert heard[-1]["state"] == "stopped"
        assert heard[-1]["text"] == ""


async def test_the_same_send_twice_is_one_message(conversation, alice, scripted_policy):
    async with talking(), opened(conversation, alice) as socket:
        for _ in range(2):
            await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        heard = []
        while [frame["type"] for frame in heard].count("message.accepted") < 2:
            heard.append(await socket.hear())
    accepted = [frame for frame in heard if frame["type"] == "message.accepted"]
    assert len(accepted) == 2
    assert accepted[0] == accepted[1]
    assert await Message.objects.acount() == 2


async def test_a_second_socket_resumes_without_a_gap(conversation, alice, scripted_policy, script):
    script.seconds_a_token, script.tokens = 0.01, 60
    async with talking():
        async with opened(conversation, alice) as first:
            await first.say(type="message.send", text="Hi", key="k1", parent=None)
            heard = []
            while not heard or heard[-1].get("seq", 0) < 2:
                heard.append(await first.hear())
            reply, seen = heard[-1]["reply"], heard[-1]["seq"]
        await asyncio.sleep(0.1)  # the first is gone; the reply goes on
        async with opened(conversation, alice) as second, opened(conversation, alice) as third:
            await second.say(type="reply.resume", reply=reply, after_seq=seen)
            await third.say(type="reply.resume", reply=reply, after_seq=0)
            rest = await second.hear_until("reply.done")
            whole = await third.hear_until("reply.done")
    assert text_of(heard) + text_of(rest) == text_of(whole) == whole[-1]["text"]
    assert numbers_in(rest) == list(range(seen + 1, rest[-1]["seq"] + 1))


async def test_a_second_tab_sees_the_turn_and_its_reply(conversation, alice, scripted_policy):
    async with talking(), opened(conversation, alice) as first, opened(conversation, alice) as second:
        await first.say(type="message.send", text="Hi", key="k1", parent=None)
        heard, seen = await first.hear_until("reply.done"), await second.hear_until("reply.done")
    assert seen[0] == heard[0]
    assert text_of(seen) == text_of(heard)
    assert seen[-1] == heard[-1]


async def test_an_ended_reply_is_told_whole(conversation, alice, scripted_policy):
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        done = (await socket.hear_until("reply.done"))[-1]
        await socket.say(type="reply.resume", reply=done["reply"], after_seq=done["seq"])
        heard = await socket.hear_until("reply.done")
        assert [frame["type"] for frame in heard] == ["reply.state", "reply.done"]
        assert heard[-1] == done


async def test_an_engine_that_goes_away_leaves_the_part(conversation, alice, scripted_policy, script):
    script.fail_after = 5
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        heard = await socket.hear_until("reply.done")
    state = [frame for frame in heard if frame["type"] == "reply.state"][-1]
    assert (state["state"], state["retryable"], state["error"]["code"]) == ("interrupted", True, "engine_down")
    assert state["error"]["message"]
    assert len(heard[-1]["text"].split()) == 5
    assert heard[-1]["text"] == text_of(heard)


async def test_a_talker_that_stops_interrupts_what_it_writes(conversation, alice, scripted_policy, script):
    script.seconds_a_token, script.tokens = 0.02, 500
    async with opened(conversation, alice) as socket:
        async with talking():
            await socket.say(type="message.send", text="Hi", key="k1", parent=None)
            heard = await socket.hear_until("reply.chunk")
        heard += await socket.hear_until("reply.done")
        assert heard[-1]["state"] == "interrupted"
        assert heard[-1]["text"] == text_of(heard) != ""
        async with talking():  # the next one takes new turns
            script.tokens = 5
            parent = (await Reply.objects.aget()).message_id
            await socket.say(type="message.send", text="Again", key="k2", parent=parent)
            assert (await socket.hear_until("reply.done"))[-1]["state"] == "complete"


async def test_a_dead_talkers_reply_is_reaped(conversation, alice, scripted_policy, script, settings):
    from datetime import timedelta

    from django.utils import timezone

    async with opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        reply = (await socket.hear())["reply"]["id"]
        past = timezone.now() - timedelta(seconds=1)
        await Chunk.objects.acreate(reply_id=reply, seq=1, text="Half")
        await Reply.objects.filter(pk=reply).aupdate(state="streaming", owner="dead", lease_until=past)
        done = (await socket.hear_until("reply.done", timeout=8))[-1]  # by the web process: no talker is there
        assert (done["state"], done["text"]) == ("interrupted", "Half")


async def test_a_promoted_policy_answers_the_next_turn(conversation, alice, scripted_policy, script):
    from chat.models import Policy

    script.seconds_a_token, script.tokens = 0.02, 60
    new = await Policy.objects.acreate(name="scripted-2", version=2, is_scripted=True)
    async with talking() as talker, opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        await socket.hear_until("reply.chunk")
        await sync_to_async(swap)(scripted_policy, new)
        first = (await socket.hear_until("reply.done"))[-1]
        assert first["policy"] == {"name": "scripted", "version": 1}
        assert first["state"] == "complete"
        async with asyncio.timeout(5):
            while talker.engines.current is None or talker.engines.current.policy.pk != new.pk:
                await asyncio.sleep(0.02)
        parent = (await Reply.objects.aget()).message_id
        await socket.say(type="message.send", text="More", key="k2", parent=parent)
        assert (await socket.hear_until("reply.done"))[-1]["policy"] == {"name": "scripted-2", "version": 2}
        async with asyncio.timeout(5):
            while len(talker.engines.engines) > 1:  # the former is stopped once it is idle
                await asyncio.sleep(0.02)


async def test_a_turn_that_comes_while_the_tail_ends_is_told(conversation, alice, scripted_policy, monkeypatch):
    close = DatabaseThread.close

    async def slowly(self):
        await asyncio.sleep(0.3)
        await close(self)

    async with talking(), opened(conversation, alice) as socket:
        monkeypatch.setattr(DatabaseThread, "close", slowly)
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        await socket.hear_until("reply.done")
        await asyncio.sleep(0.1)  # nothing to watch: the tail is closing its connection
        parent = (await Reply.objects.aget()).message_id
        await socket.say(type="message.send", text="More", key="k2", parent=parent)
        await socket.hear_until("reply.done", timeout=3)


async def test_a_broken_tail_begins_anew(conversation, alice, scripted_policy, script, monkeypatch):
    script.seconds_a_token, broken = 0.02, []
    look = tail.look

    def breaks_once(*args):
        if len(broken) < 1:
            broken.append(True)
            raise KeyError("unforeseen")
        return look(*args)

    monkeypatch.setattr(tail, "look", breaks_once)
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        heard = await socket.hear_until("reply.done")
    assert broken
    assert text_of(heard) == heard[-1]["text"] != ""


@pytest.mark.skipif(not wakeup.IS_POSSIBLE, reason="needs PostgreSQL")
async def test_readers_are_woken_by_what_is_written_for_them(
    conversation, alice, scripted_policy, script, monkeypatch
):
    """Without calls the next look would come, and ask for its state, after the time that the test has."""
    monkeypatch.setattr(tail, "LOOK_UNCALLED_AFTER_S", 40.0)
    monkeypatch.setattr(tail, "UNCALLED_STATES_A_LOOK", 1e-6)
    script.tokens, script.seconds_a_token = 2000, 0.02
    async with talking(), opened(conversation, alice) as socket, asyncio.timeout(20):
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        heard = await socket.hear_until("reply.chunk")
        await socket.say(type="reply.stop", reply=heard[-1]["reply"])
        heard += await socket.hear_until("reply.done")
        await sync_to_async(wakeup.call)(0)  # the tail has nobody to read for, and may go
    assert heard[-1]["state"] == "stopped"
    assert text_of(heard) == heard[-1]["text"] != ""


async def test_an_end_that_fails_unforeseen_ends_the_talker(conversation, alice, scripted_policy, monkeypatch):
    """It is started anew, and says in its log what happened: it does not go on without ever ending that reply."""

    def end(owner, ending):
        raise ValueError("unforeseen")

    monkeypatch.setattr(replies, "end", end)
    talker = Talker()
    async with opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        with pytest.raises(ValueError, match="unforeseen"):
            async with asyncio.timeout(20):
                await talker.run()


async def test_a_turn_does_not_wait_for_the_pages(conversation, alice, scripted_policy):
    release = threading.Event()
    async with talking(), opened(conversation, alice) as socket:
        page = asyncio.create_task(sync_to_async(release.wait)(20))  # a view that takes its time
        try:
            await socket.say(type="message.send", text="Hi", key="k1", parent=None)
            heard = await socket.hear_until("reply.done")
            assert not page.done()
        finally:
            release.set()
            await page
    assert heard[-1]["state"] == "complete"


async def test_replies_that_take_turns_are_all_told_and_keep_what_was_made_when_the_talker_ends(
    alice, scripted_policy, script, settings, monkeypatch
):
    settings.CHAT_REPLIES_PER_USER = 4
    monkeypatch.setattr(talker_module, "REPLIES_A_FLUSH", 1)  # of four under way each write takes one
    script.tokens, script.seconds_a_token = 500, 0.005
    async with talking() as talker, AsyncExitStack() as sockets:
        asked = []
        for number in range(4):
            conversation = await Conversation.objects.acreate(owner=alice)
            asked.append(await sockets.enter_async_context(opened(conversation, alice)))
            await asked[number].say(type="message.send", text="Hi", key="k1", parent=None)
        for socket in asked:
            await socket.hear_until("reply.chunk")
        written = list(talker.active.values())
    assert len(written) == 4  # nobody's first words waited for another's end
    rows = {row.pk: row async for row in Reply.objects.select_related("message")}
    assert [rows[active.reply.pk].state for active in written] == ["interrupted"] * 4
    assert [rows[active.reply.pk].message.text for active in written] == [active.text for active in written]


async def test_a_talker_looks_for_text_to_store_only_while_there_is_some(
    conversation, alice, scripted_policy, script, monkeypatch
):
    script.tokens, written = 10, []
    flush = Talker._flush

    async def counted(talker, **options):
        written.append([active.reply.pk for active in talker.active.values() if not active.is_given_out()])
        await flush(talker, **options)

    monkeypatch.setattr(Talker, "_flush", counted)
    async with talking() as talker, opened(conversation, alice) as socket:
        await asyncio.sleep(0.2)
        assert not written
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        heard = await socket.hear_until("reply.done")
        async with asyncio.timeout(10):
            while talker._written.is_set():
                await asyncio.sleep(0.01)
        assert written[0] == [heard[-1]["reply"]]
        count = len(written)
        await asyncio.sleep(0.2)
        assert len(written) == count
    assert heard[-1]["state"] == "complete"


async def test_text_does_not_wait_for_what_the_talker_looks_for(
    conversation, alice, scripted_policy, script, monkeypatch
):
    script.tokens, script.seconds_a_token = 60, 0.02
    looked, hangs, begun, release = replies.lost_or_stopped, threading.Event(), threading.Event(), threading.Event()

    def look(*args):
        if begun.is_set():  # what a reply needs before its first word is read in the same thread
            hangs.set()
            release.wait(20)
        return looked(*args)

    monkeypatch.setattr(replies, "lost_or_stopped", look)
    async with talking(), opened(conversation, alice) as socket:
        try:
            await socket.say(type="message.send", text="Hi", key="k1", parent=None)
            heard = await socket.hear_until("reply.chunk")
            begun.set()
            assert await asyncio.to_thread(hangs.wait, 10)
            while text_of(heard).count(" ") < 50:
                heard.append(await socket.hear())
        finally:
            release.set()
        heard += await socket.hear_until("reply.done")
    assert text_of(heard) == heard[-1]["text"] != ""


@pytest.mark.parametrize("part", ["replies.write", "replies.end", "claims.claim", "replies.lost_or_stopped"])
async def test_a_database_that_is_away_for_a_moment_costs_nothing_but_time(
    part, conversation, alice, scripted_policy, script, monkeypatch
):
    """Before it does what it was asked, and after: then nobody told the talker that it was done."""
    script.tokens, script.seconds_a_token = 20, 0.02
    module, name = {"replies": replies, "claims": claims}[part.split(".")[0]], part.split(".")[1]
    asked, calls = getattr(module, name), []

    def faint(*args, **kwargs):
        calls.append(True)
        if len(calls) == 1:
            raise OperationalError("away")
        result = asked(*args, **kwargs)
        if len(calls) == 2 and name in ("write", "end"):
            raise OperationalError("away before it could say so")
        return result

    monkeypatch.setattr(talker_module, "PAUSE_AFTER_ERROR_S", 0.05)
    monkeypatch.setattr(module, name, faint)
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        heard = await socket.hear_until("reply.done")
    assert len(calls) >= 2  # tried again; an end that was done although nobody said so is also seen by the next look
    assert heard[-1]["state"] == "complete"
    assert text_of(heard) == heard[-1]["text"]
    assert numbers_in(heard) == list(range(1, heard[-1]["seq"] + 1))
