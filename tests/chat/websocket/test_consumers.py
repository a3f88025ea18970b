"""Whatever a page may send: a clear error, nothing lost, nothing crashed, and nobody where they may not be."""

import json
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.contrib.sessions.models import Session
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts import sockets
from accounts.models import Notice, User
from chat.errors import BadFrame
from chat.models import Conversation, Message, Reply
from chat.websocket import consumers, frames
from tests.chat.sockets import Socket, cookie_of, opened

pytestmark = pytest.mark.django_db(transaction=True)


async def error_after(socket, **event):
    await socket.say(**event)
    return (await socket.hear_until("error"))[-1]


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "empty"), (" \n\t ", "empty"), ("a" * 8001, "too_long"), ("a\0b", "bad_text"), ("a\ud800b", "bad_text")],
)
async def test_a_message_that_is_no_text_is_refused(conversation, alice, text, code):
    async with opened(conversation, alice) as socket:
        error = await error_after(socket, type="message.send", text=text, key="k", parent=None)
        assert error["code"] == code
        assert error["key"] == "k"
        assert error["message"]
        await socket.say(type="ping")  # the socket goes on
        assert (await socket.hear())["type"] == "pong"
    assert await Message.objects.acount() == 0


async def test_the_longest_message_passes(conversation, alice):
    async with opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="a" * 8000, key="k", parent=None)
        assert (await socket.hear())["type"] == "message.accepted"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "message.explode"}, "unknown_event"),
        ({"type": "message.send", "key": "k"}, "bad_frame"),
        ({"type": "message.send", "text": 5, "key": "k"}, "bad_frame"),
        ({"type": "message.send", "text": "x", "key": ["k"]}, "bad_frame"),
        ({"type": "message.send", "text": "x", "key": ""}, "bad_key"),
        ({"type": "message.send", "text": "x", "key": "k" * 65}, "bad_key"),
        ({"type": "message.send", "text": "x", "key": "k", "parent": "1"}, "bad_frame"),
        ({"type": "message.send", "text": "x", "key": "k", "parent": True}, "bad_frame"),
        ({"type": "message.send", "text": "x", "key": "k", "parent": 10**30}, "bad_frame"),
        ({"type": "message.send", "text": "x", "key": "k", "parent": 999}, "unknown_parent"),
        ({"type": "reply.stop"}, "bad_frame"),
        ({"type": "reply.stop", "reply": 999, "seq": 1}, "unknown_reply"),
        ({"type": "reply.stop", "reply": 1, "seq": -1}, "bad_frame"),
        ({"type": "reply.resume", "reply": 999, "after_seq": 0}, "unknown_reply"),
        ({"type": "reply.resume", "reply": 1.5}, "bad_frame"),
    ],
)
async def test_an_event_that_makes_no_sense_is_refused(conversation, alice, event, code):
    async with opened(conversation, alice) as socket:
        assert (await error_after(socket, **event))["code"] == code
    assert await Message.objects.acount() == 0


@pytest.mark.parametrize("frame", ["{", "[]", "null", '"type"', "[" * 60_000, '{"type": 5}', "9" * 60_000, "\ud800"])
async def test_a_frame_that_is_no_event_is_refused(conversation, alice, frame):
    async with opened(conversation, alice) as socket:
        await socket.communicator.send_to(text_data=frame)
        assert (await socket.hear())["code"] == "bad_frame"


async def test_a_binary_frame_is_refused(conversation, alice):
    async with opened(conversation, alice) as socket:
        await socket.communicator.send_to(bytes_data=b"\xff\xfe{}")
        assert (await socket.hear())["code"] == "bad_frame"


async def test_a_frame_beyond_64_kib_closes_the_socket(conversation, alice):
    async with opened(conversation, alice) as socket:
        await socket.communicator.send_to(text_data='{"type": "ping", "x": "' + "가" * 21_900 + '"}')
        assert await socket.close_code() == 1009


async def test_a_flood_is_told_and_closed(conversation, alice):
    async with opened(conversation, alice) as socket:
        for _ in range(consumers.FRAMES + 1):
            await socket.say(type="ping")
        error = (await socket.hear_until("error"))[-1]
        assert error["code"] == "flood"
        assert error["retry_after_s"] > 0
        assert await socket.close_code() == 1008


@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_reading_a_frame_gives_an_event_or_bad_frame(data):
    try:
        event = frames.read(data)
    except BadFrame:
        return
    assert isinstance(event["type"], str)


# --- who may be here ------------------------------------------------------------------------------------------


async def is_refused(conversation_id, cookie, **options):
    connected, _ = await Socket(f"/ws/chat/{conversation_id}/", cookie, **options).communicator.connect()
    return not connected


async def test_strangers_are_refused_before_the_socket_opens(conversation, alice):
    bob = await sync_to_async(User.objects.create_user)("bob", password="x")
    bobs = await sync_to_async(cookie_of)(bob)
    alices = await sync_to_async(cookie_of)(alice)
    assert await is_refused(conversation.pk, bobs)
    assert await is_refused(conversation.pk, "")
    assert await is_refused("00000000-0000-4000-8000-000000000000", alices)
    assert await is_refused(conversation.pk, alices, origin="http://evil.example")
    assert not await is_refused(conversation.pk, alices)
    await Conversation.objects.filter(pk=conversation.pk).aupdate(deleted_at=timezone.now())
    assert await is_refused(conversation.pk, alices)


@pytest.mark.parametrize("change", [{"is_active": False}, {"suspended_until": timezone.now() + timedelta(days=1)}])
async def test_the_next_write_of_somebody_suspended_is_refused(conversation, alice, change):
    async with opened(conversation, alice) as socket:
        await User.objects.filter(pk=alice.pk).aupdate(**change)
        error = await error_after(socket, type="message.send", text="Hi", key="k", parent=None)
        assert error["code"] == "signed_out"
        assert await socket.close_code() == 4401
    assert await Message.objects.acount() == 0


async def test_signing_out_closes_the_socket(conversation, alice):
    async with opened(conversation, alice) as socket:
        await database_sync_to_async(sockets.close)(alice)  # nothing changed: it stays
        await socket.say(type="ping")
        assert (await socket.hear())["type"] == "pong"
        await Session.objects.all().adelete()
        await database_sync_to_async(sockets.close)(alice)
        assert (await socket.hear_until("error"))[-1]["code"] == "signed_out"
        assert await socket.close_code() == 4401


async def test_a_session_that_ends_is_found_out(conversation, alice, monkeypatch):
    monkeypatch.setattr(consumers, "RECHECK_EVERY_S", 0.1)
    async with opened(conversation, alice) as socket:
        await Session.objects.all().adelete()
        assert await socket.close_code() == 4401


async def test_a_page_hears_when_its_reader_has_more_or_fewer_unread_notices(conversation, alice, monkeypatch):
    monkeypatch.setattr(consumers, "RECHECK_EVERY_S", 0.05)
    async with opened(conversation, alice) as socket:
        await Notice.objects.acreate(person=alice, kind="job_failed", about="job:1")
        assert await socket.hear() == {"type": "notices.unread", "count": 1}
        await Notice.objects.aupdate(read_at=timezone.now())
        assert await socket.hear() == {"type": "notices.unread", "count": 0}


async def test_a_changed_password_ends_the_socket(conversation, alice):
    async with opened(conversation, alice) as socket:
        await sync_to_async(alice.set_password)("another one entirely")
        await alice.asave()
        error = await error_after(socket, type="message.send", text="Hi", key="k", parent=None)
        assert error["code"] == "signed_out"


async def test_a_rotated_secret_keeps_the_session(conversation, alice, settings):
    cookie = await sync_to_async(cookie_of)(alice)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret key of fifty characters or even more of them"
    socket = Socket(f"/ws/chat/{conversation.pk}/", cookie)
    assert (await socket.communicator.connect())[0]
    await socket.communicator.disconnect()


async def test_replies_of_other_conversations_are_out_of_reach(conversation, alice):
    from chat.queue import replies

    other = await Conversation.objects.acreate(owner=alice)
    question = await Message.objects.acreate(conversation=other, role="user", text="x")
    reply = await sync_to_async(replies.queue)(question, {})
    async with opened(conversation, alice) as socket:
        for event in ({"type": "reply.stop", "seq": 0}, {"type": "reply.resume"}):
            assert (await error_after(socket, reply=reply.pk, **event))["code"] == "unknown_reply"
    assert await Reply.objects.filter(state="queued").acount() == 1


async def test_errors_come_in_the_readers_language(conversation, alice):
    async with opened(conversation, alice, language="ko-KR,ko;q=0.9,en;q=0.5") as socket:
        error = await error_after(socket, type="message.send", text="", key="k", parent=None)
        assert error["message"]  # Korean as soon as the catalogue has it
