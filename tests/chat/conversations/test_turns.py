"""What a turn writes, what it refuses, and that the same turn at the same time is one."""

import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils import timezone

from chat import guards
from chat.conversations.turns import take_turn
from chat.errors import (
    Blocked,
    ConversationGone,
    GuardBroken,
    QueueFull,
    RateLimited,
    ReplyUnderWay,
    TooManyReplies,
    UnknownParent,
)
from chat.models import Conversation, Message, Reply
from chat.prompts.history import turns_before
from chat.queue.waiting import waits

pytestmark = pytest.mark.django_db(transaction=True)


def end(reply, text="Answer"):
    reply.message.text = text
    reply.message.save()
    Reply.objects.filter(pk=reply.pk).update(state="complete")


def test_a_turn_follows_an_ended_reply(conversation):
    message, reply = take_turn(conversation, "One", "k1", None)
    with pytest.raises(ReplyUnderWay):
        take_turn(conversation, "Two", "k2", reply.message_id)
    end(reply)
    with pytest.raises(UnknownParent):
        take_turn(conversation, "Two", "k2", message.pk)
    second, answer = take_turn(conversation, "Two", "k2", reply.message_id)
    assert second.parent_id == reply.message_id
    assert turns_before(answer.message) == [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Answer"},
        {"role": "user", "content": "Two"},
    ]


def test_hidden_and_empty_messages_are_not_said_again(conversation):
    _, reply = take_turn(conversation, "One", "k1", None)
    end(reply)
    Message.objects.filter(pk=reply.message_id).update(hidden_at=timezone.now())
    _, answer = take_turn(conversation, "Two", "k2", reply.message_id)
    assert [turn["content"] for turn in turns_before(answer.message)] == ["One", "Two"]


def test_a_strangers_message_is_no_parent(conversation, alice):
    other = Conversation.objects.create(owner=alice)
    _, reply = take_turn(other, "One", "k1", None)
    end(reply)
    with pytest.raises(UnknownParent):
        take_turn(conversation, "Two", "k2", reply.message_id)


def test_one_person_has_at_most_so_many_replies_at_a_time(alice, settings):
    settings.CHAT_REPLIES_PER_USER = 2
    rooms = [Conversation.objects.create(owner=alice) for _ in range(3)]
    for room in rooms[:2]:
        take_turn(room, "Hi", "k", None)
    with pytest.raises(TooManyReplies):
        take_turn(rooms[2], "Hi", "k", None)
    end(Reply.objects.select_related("message").first())
    take_turn(rooms[2], "Hi", "k", None)


def test_the_queue_is_bounded(conversation, settings):
    settings.CHAT_QUEUE_LIMIT, settings.CHAT_REPLIES_PER_USER = 3, 100
    replies_ = [take_turn(conversation, "Hi", f"k{i}", None)[1] for i in range(3)]
    with pytest.raises(QueueFull) as refusal:
        take_turn(conversation, "Hi", "k9", None)
    assert refusal.value.retry_after_s
    found = waits([reply.pk for reply in replies_])
    assert [found[reply.pk].place for reply in replies_] == [1, 2, 3]


def test_messages_a_minute_are_limited_for_each_person(conversation, settings, django_user_model):
    settings.CHAT_MESSAGES_PER_MINUTE, settings.CHAT_REPLIES_PER_USER = 3, 100
    for i in range(3):
        take_turn(conversation, "Hi", f"k{i}", None)
    with pytest.raises(RateLimited) as refusal:
        take_turn(conversation, "Hi", "k9", None)
    assert 0 < refusal.value.retry_after_s <= 60
    take_turn(conversation, "Hi", "k0", None)  # a send repeated costs nothing
    bob = django_user_model.objects.create_user("bob")
    take_turn(Conversation.objects.create(owner=bob), "Hi", "k9", None)


def test_a_deleted_conversation_takes_no_turn(conversation):
    Conversation.objects.filter(pk=conversation.pk).update(deleted_at=timezone.now() - timedelta(days=1))
    with pytest.raises(ConversationGone):
        take_turn(conversation, "Hi", "k", None)
    assert not Message.objects.exists()


def test_twenty_equal_sends_at_once_are_one_turn(conversation):
    answers, barrier = [], threading.Barrier(20)

    def send():
        barrier.wait()
        try:
            message, reply = take_turn(conversation, "Hi", "same", None)
            answers.append((message.pk, reply.pk))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 20
    assert len(set(answers)) == 1
    assert Message.objects.count() == 2


class NoBirds(guards.Guard):
    def check_message(self, text, conversation):
        if "bird" in text:
            raise Blocked("no birds", message="No birds here.")


class Broken(guards.Guard):
    def check_message(self, text, conversation):
        raise KeyError("oops")


def test_a_guard_blocks_with_its_own_words(conversation, settings):
    settings.CHAT_GUARDS = ["chat.guards.MessageShapeGuard", "tests.chat.conversations.test_turns.NoBirds"]
    take_turn(conversation, "a fish", "k1", None)
    with pytest.raises(Blocked) as refusal:
        take_turn(conversation, "a bird", "k2", None)
    assert refusal.value.message == "No birds here."
    assert Message.objects.filter(text="a bird").count() == 0


def test_a_guard_that_fails_blocks_and_is_named(conversation, settings):
    settings.CHAT_GUARDS = ["tests.chat.conversations.test_turns.Broken"]
    with pytest.raises(GuardBroken) as refusal:
        take_turn(conversation, "hello", "k1", None)
    assert refusal.value.guard == "tests.chat.conversations.test_turns.Broken"
    assert not Message.objects.exists()


def test_a_guard_that_is_not_there_is_named(settings):
    settings.CHAT_GUARDS = ["tests.chat.nowhere.Guard"]
    with pytest.raises(ImproperlyConfigured, match=r"tests\.chat\.nowhere"):
        guards.guards()
