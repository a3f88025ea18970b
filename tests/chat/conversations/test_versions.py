"""Another version of a message or of a reply, and the path that is open, over sockets of one and of two pages."""

import threading

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.utils import timezone

from chat import guards
from chat.conversations import side_by_side
from chat.conversations.turns import open_path, regenerate, take_turn
from chat.errors import BadKey, Blocked, ConversationGone, ReplyUnderWay, TooManyReplies, UnknownMessage
from chat.models import Conversation, Message, Pair, Reply
from chat.websocket import consumers
from tests.chat.sockets import opened
from tests.chat.talkers import talking

pytestmark = pytest.mark.django_db(transaction=True)


def answered(conversation, text="One", key="k1", parent=None):
    """A turn whose reply has ended."""
    message, reply = take_turn(conversation, text, key, parent)
    Message.objects.filter(pk=reply.message_id).update(text="Answer")
    Reply.objects.filter(pk=reply.pk).update(state="complete")
    return message, reply


def tip_of(conversation):
    return Conversation.objects.get(pk=conversation.pk).tip_id


async def test_a_reply_is_made_anew_beside_the_former_one(conversation, alice, scripted_policy, script):
    script.text = "Something else"
    question, former = await sync_to_async(answered)(conversation)
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="reply.regenerate", message=former.message_id, key="again")
        accepted = await socket.hear()
        assert (accepted["type"], accepted["key"]) == ("reply.accepted", "again")
        assert accepted["reply"]["parent"] == question.pk
        done = (await socket.hear_until("reply.done"))[-1]
        assert (done["reply"], done["text"]) == (accepted["reply"]["id"], "Something else")
    texts = Message.objects.filter(parent=question).order_by("pk").values_list("text", flat=True)
    assert await sync_to_async(list)(texts) == ["Answer", "Something else"]
    assert await sync_to_async(tip_of)(conversation) == accepted["reply"]["message"]


async def test_the_same_wish_twice_is_one_reply(conversation, alice, scripted_policy):
    _, former = await sync_to_async(answered)(conversation)
    async with talking(), opened(conversation, alice) as socket:
        for _ in range(2):
            await socket.say(type="reply.regenerate", message=former.message_id, key="again")
        heard = []
        while [frame["type"] for frame in heard].count("reply.accepted") < 2:
            heard.append(await socket.hear())
    accepted = [frame for frame in heard if frame["type"] == "reply.accepted"]
    assert accepted[0] == accepted[1]
    assert await Reply.objects.acount() == 2


def test_twenty_equal_wishes_at_once_are_one_reply(conversation, settings):
    settings.CHAT_MESSAGES_PER_MINUTE = 100
    _, former = answered(conversation)
    made, barrier = [], threading.Barrier(20)

    def ask():
        barrier.wait()
        try:
            made.append(regenerate(conversation, former.message_id, "again").pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 20
    assert len(set(made)) == 1
    assert Reply.objects.count() == 2


async def test_another_page_is_told_of_a_new_version_and_hears_it(conversation, alice, scripted_policy):
    _, former = await sync_to_async(answered)(conversation)
    async with talking(), opened(conversation, alice) as first, opened(conversation, alice) as second:
        await first.say(type="reply.regenerate", message=former.message_id, key="again")
        heard, seen = await first.hear_until("reply.done"), await second.hear_until("reply.done")
    assert seen[0] == heard[0]
    assert seen[-1] == heard[-1]


async def test_a_path_that_one_page_opens_is_opened_on_every_page(conversation, alice, scripted_policy):
    question, former = await sync_to_async(answered)(conversation)
    other, later = await sync_to_async(answered)(conversation, "Edited", "k2")
    async with opened(conversation, alice) as first, opened(conversation, alice) as second:
        await first.say(type="path.open", message=question.pk)
        told = {"type": "path.opened", "message": question.pk, "tip": former.message_id}
        assert await first.hear() == told
        assert await second.hear() == told
        assert await sync_to_async(tip_of)(conversation) == former.message_id
        await second.say(type="path.open", message=other.pk)
        assert (await first.hear())["tip"] == later.message_id


async def test_a_view_rings_every_page(conversation, alice, scripted_policy):
    async with opened(conversation, alice) as socket:
        await sync_to_async(consumers.broadcast)(conversation.pk, {"type": "path.opened", "message": 1, "tip": 2})
        assert await socket.hear() == {"type": "path.opened", "message": 1, "tip": 2}


async def test_both_replies_of_a_pair_are_told(conversation, alice, scripted_policy, script, monkeypatch):
    monkeypatch.setattr(side_by_side, "_makes_pair", lambda *args: True)
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)
        accepted = await socket.hear()
        ended = [(await socket.hear_until("reply.done"))[-1]["reply"] for _ in range(2)]
        assert set(ended) == {accepted["pair"]["left"]["id"], accepted["pair"]["right"]["id"]}
        assert accepted["reply"] == accepted["pair"]["left"]
        await socket.say(type="message.send", text="Hi", key="k1", parent=None)  # the first answer was lost
        assert await socket.hear() == accepted
    assert await sync_to_async(tip_of)(conversation) == accepted["pair"]["left"]["message"]


def test_whoever_asks_again_lets_the_pair_lapse(conversation, monkeypatch):
    monkeypatch.setattr(side_by_side, "_makes_pair", lambda *args: True)
    _, left = answered(conversation)
    Reply.objects.update(state="complete")
    again = regenerate(conversation, left.message_id, "again")
    assert Pair.objects.get().revealed_at is not None
    assert tip_of(conversation) == again.message_id


def test_a_reply_may_be_made_to_begin_with_something(conversation):
    _, former = answered(conversation)
    assert regenerate(conversation, former.message_id, "again", prefix="The rain").prefix == "The rain"


def test_a_question_is_answered_again_by_its_own_number(conversation):
    question, former = answered(conversation)
    again = regenerate(conversation, question.pk, "again")
    assert again.message.parent_id == former.message.parent_id == question.pk


def test_what_is_being_written_is_not_made_anew(conversation):
    _, reply = take_turn(conversation, "One", "k1", None)
    with pytest.raises(ReplyUnderWay):
        regenerate(conversation, reply.message_id, "again")
    assert Reply.objects.count() == 1


def test_nothing_is_made_anew_of_what_is_not_there_or_hidden(conversation, alice):
    _, foreign = answered(Conversation.objects.create(owner=alice))
    question, former = answered(conversation)
    for message in (foreign.message_id, 999_999):
        with pytest.raises(UnknownMessage):
            regenerate(conversation, message, "again")
        with pytest.raises(UnknownMessage):
            open_path(conversation, message)
    Message.objects.filter(pk=question.pk).update(hidden_at=timezone.now())
    with pytest.raises(UnknownMessage):
        regenerate(conversation, former.message_id, "again")
    assert Reply.objects.count() == 2


def test_a_key_belongs_to_one_kind_of_turn(conversation):
    _, former = answered(conversation)
    with pytest.raises(BadKey):
        regenerate(conversation, former.message_id, "k1")
    regenerate(conversation, former.message_id, "again")
    with pytest.raises(BadKey):
        take_turn(conversation, "Two", "again", None)


def test_another_reply_counts_as_much_as_a_turn(conversation, alice, settings):
    _, former = answered(conversation)
    settings.CHAT_REPLIES_PER_USER = 1
    take_turn(Conversation.objects.create(owner=alice), "Hi", "k", None)
    with pytest.raises(TooManyReplies):
        regenerate(conversation, former.message_id, "again")


class NoBirds(guards.Guard):
    def check_message(self, text, conversation):
        if "bird" in text:
            raise Blocked("no birds", message="No birds here.")


def test_guards_look_at_the_question_again_and_at_what_a_reply_begins_with(conversation, settings):
    _, former = answered(conversation)
    _, of_birds = answered(conversation, "a bird", "k2")
    settings.CHAT_GUARDS = ["chat.guards.MessageShapeGuard", "tests.chat.conversations.test_versions.NoBirds"]
    with pytest.raises(Blocked):
        regenerate(conversation, of_birds.message_id, "again")
    with pytest.raises(Blocked):
        regenerate(conversation, former.message_id, "more", prefix="The bird")
    assert Reply.objects.count() == 2


def test_a_deleted_conversation_makes_nothing_anew(conversation):
    _, former = answered(conversation)
    Conversation.objects.update(deleted_at=timezone.now())
    with pytest.raises(ConversationGone):
        regenerate(conversation, former.message_id, "again")


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "reply.regenerate", "key": "k"}, "bad_frame"),
        ({"type": "reply.regenerate", "message": "1", "key": "k"}, "bad_frame"),
        ({"type": "reply.regenerate", "message": 1}, "bad_frame"),
        ({"type": "reply.regenerate", "message": 1, "key": "k", "prefix": 5}, "bad_frame"),
        ({"type": "reply.regenerate", "message": 1, "key": ""}, "bad_key"),
        ({"type": "reply.regenerate", "message": 999_999, "key": "k"}, "unknown_message"),
        ({"type": "path.open"}, "bad_frame"),
        ({"type": "path.open", "message": 2**70}, "bad_frame"),
        ({"type": "path.open", "message": 999_999}, "unknown_message"),
    ],
)
async def test_an_event_that_cannot_be_is_refused_in_words(conversation, alice, event, code):
    async with opened(conversation, alice) as socket:
        await socket.say(**event)
        error = (await socket.hear_until("error"))[-1]
    assert error["code"] == code
    assert error["message"]


def test_the_open_path_is_a_page_of_its_owner(conversation, client, alice, django_user_model):
    _, reply = answered(conversation)
    take_turn(conversation, "Edited", "k2", None)
    open_path(conversation, reply.message_id)
    client.force_login(alice)
    html = client.get(f"/c/{conversation.pk}/path/").content.decode()
    assert ">One<" in html
    assert ">Edited<" not in html
    assert "1 / 2" in html
    client.force_login(django_user_model.objects.create_user("bob"))
    assert client.get(f"/c/{conversation.pk}/path/").status_code == 404
