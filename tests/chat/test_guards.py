"""Guards over replies: where they look, what they take back, and that they fail closed."""

import asyncio
import time

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from chat import guards
from chat.engines.engine import Piece
from chat.errors import Blocked, ChatError
from chat.models import Chunk, Message, Reply
from chat.queue import replies
from chat.talker.talker import Active, Talker
from tests.chat.sockets import opened, text_of
from tests.chat.talkers import talking

pytestmark = pytest.mark.django_db(transaction=True)
HERE = "tests.chat.test_guards."


class NoCats(guards.Guard):
    seen: list[str] = []

    def check_reply(self, text, conversation):
        self.seen.append(text)
        if "cat" in text:
            raise Blocked("no-cats", "a cat")

    def name_of(self, key):
        return "No cats" if key == "no-cats" else None


class Broken(guards.Guard):
    def check_reply(self, text, conversation):
        raise RuntimeError("cannot tell")


class Slow(guards.Guard):
    def check_reply(self, text, conversation):
        time.sleep(0.5)


class Other(guards.Guard):
    def check_reply(self, text, conversation):
        raise ChatError("not even a refusal")


class Foreign:
    def check_message(self, text, conversation):
        pass


@pytest.fixture(autouse=True)
def _watched(settings):
    NoCats.seen = []
    settings.CHAT_GUARDS = ["chat.guards.MessageShapeGuard", HERE + "NoCats"]


async def reply_of(alice, conversation, **options):
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        heard = await socket.hear_until("reply.done")
    row = await Reply.objects.select_related("message").aget()
    chunks = [chunk.text async for chunk in Chunk.objects.filter(reply=row).order_by("seq")]
    assert row.message.text == "".join(chunks) == heard[-1]["text"]
    assert row.last_seq == len(chunks)
    return row, heard


async def test_a_reply_is_cut_at_the_last_sentence_that_passed(conversation, alice, scripted_policy, script):
    script.text = "A dog barks. It runs away! A cat sleeps. Nobody sees it."
    row, heard = await reply_of(alice, conversation)
    assert (row.state, row.blocked_by, row.error) == ("blocked", "no-cats", "")
    assert row.message.text == "A dog barks. It runs away! "[: len(row.message.text)]
    assert row.message.text.strip() == "A dog barks. It runs away!"
    told = [frame for frame in heard if frame["type"] == "reply.state"][-1]
    assert told["blocked_by"] == {"key": "no-cats", "name": "No cats"}
    assert "cat" not in heard[-1]["html"]
    assert "Nobody" not in text_of(heard)


async def test_it_is_checked_at_sentence_ends_and_at_its_end_only(conversation, alice, scripted_policy, script):
    script.text = "One is one. Two is two? Three is"
    await reply_of(alice, conversation)
    assert [text.strip() for text in NoCats.seen] == ["One is one.", "One is one. Two is two?", script.text]


async def test_the_end_is_checked_although_no_sentence_ends_there(conversation, alice, scripted_policy, script):
    script.text = "A dog barks. And a cat"
    row, _ = await reply_of(alice, conversation)
    assert (row.state, row.message.text.strip()) == ("blocked", "A dog barks.")


async def test_what_an_engine_left_behind_is_checked_too(conversation, alice, scripted_policy, script):
    script.text, script.fail_after = "A dog barks. And a cat sleeps", 6
    row, _ = await reply_of(alice, conversation)
    assert (row.state, row.message.text.strip()) == ("blocked", "A dog barks.")


@pytest.mark.parametrize("guard", ["Broken", "Slow", "Other"])
async def test_a_guard_that_can_not_say_lets_nothing_pass(
    conversation, alice, scripted_policy, script, settings, monkeypatch, guard
):
    monkeypatch.setattr(guards, "LIMIT_S", 0.1)
    settings.CHAT_GUARDS = [HERE + guard]
    script.text = "A dog barks. It runs away!"
    row, heard = await reply_of(alice, conversation)
    assert (row.state, row.message.text) == ("blocked", "")
    told = [frame for frame in heard if frame["type"] == "reply.state"][-1]
    assert told["blocked_by"]["name"] == "a failed check"


async def test_a_prefix_is_checked_before_the_engine_is_asked(conversation, alice, scripted_policy, script):
    question = await Message.objects.acreate(conversation=conversation, role="user", text="Hi")
    reply = await sync_to_async(replies.queue)(question, {}, prefix="My cat")
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="reply.resume", reply=reply.pk, after_seq=0)
        done = (await socket.hear_until("reply.done"))[-1]
    assert (done["state"], done["text"]) == ("blocked", "")
    assert (await Reply.objects.aget()).completion_tokens == 0


async def test_a_guard_that_does_not_derive_from_guard_stops_the_talker_at_its_start(settings):
    settings.CHAT_GUARDS = [HERE + "Foreign"]
    with pytest.raises(ImproperlyConfigured, match="Foreign does not derive"):
        await asyncio.wait_for(Talker().run(), 5)


TEXTS = st.lists(st.text("ab .!?\n。가", max_size=30), max_size=12)


@given(TEXTS, st.lists(st.booleans(), min_size=12, max_size=12), st.integers(0, 60))
def test_however_text_comes_and_is_flushed_a_cut_keeps_exactly_what_passed(pieces, flushes, refused_after):
    """What passed is a prefix of the text that ends where a sentence does, and it is whole chunks."""
    active = Active(Reply(pk=1), None)
    chunks = []
    for text, flush in zip(pieces, flushes, strict=False):
        ready = active.take(Piece(text))
        if ready <= refused_after:
            active.passed = max(active.passed, ready)
        if flush:
            chunks += active.next_chunks()
    whole = "".join(pieces)
    keep = active.cut_to_passed()
    chunks += active.next_chunks()
    assert [chunk.seq for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert "".join(chunk.text for chunk in chunks[:keep]) == whole[: active.passed]


@given(st.text("ab .!?\n。가", max_size=1500), st.data())
def test_a_text_is_never_unchecked_for_long(text, data):
    checked = data.draw(st.integers(0, len(text)))
    ready = guards.checkable(text, checked)
    assert checked <= ready <= len(text)
    assert guards.checkable(text, ready) == ready or len(text) - ready >= guards.LONGEST_UNCHECKED
    assert len(text) - ready < guards.LONGEST_UNCHECKED or " " in text[ready:] or "\n" in text[ready:]


def test_a_long_text_without_a_sentence_is_cut_between_words():
    text = "word " * 79 + "unfi"
    assert guards.checkable(text, 0) == 0
    assert guards.checkable(text + "nished word", 0) == len(text + "nished ")
