"""The tree of a conversation: whatever is written, edited, made anew or opened, one path is open and none is lost."""

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chat.conversations.open_path import branch_to, open_branch
from chat.conversations.tree import Tree, tree_of
from chat.conversations.turns import open_path, regenerate, take_turn
from chat.models import Conversation, Message, Reply

#      1 ── 2 ── 5 ── 6
#        └─ 3 ── 7
#      4
SMALL = Tree({1: None, 2: 1, 3: 1, 4: None, 5: 2, 6: 5, 7: 3})


@pytest.mark.parametrize(
    ("tip", "path"),
    [
        (6, [1, 2, 5, 6]),
        (2, [1, 2, 5, 6]),
        (3, [1, 3, 7]),
        (1, [1, 3, 7]),
        (4, [4]),
        (None, [1, 3, 7]),
        (99, [1, 3, 7]),
    ],
)
def test_the_open_path_goes_through_the_tip_to_the_newest_below_it(tip, path):
    assert SMALL.open_path(tip) == path


@pytest.mark.parametrize(("message", "siblings"), [(1, [1, 4]), (4, [1, 4]), (2, [2, 3]), (3, [2, 3]), (7, [7])])
def test_siblings_follow_the_same_message(message, siblings):
    assert SMALL.siblings(message) == siblings


def test_an_empty_tree_has_an_empty_path():
    assert Tree({}).open_path(None) == []


class Person:
    """Does what a page lets a person do, and keeps the tree in its own way: as lists of children."""

    def __init__(self, owner):
        self.conversation = Conversation.objects.create(owner=owner)
        self.children: dict[int | None, list[int]] = {None: []}
        self.seen: dict[int | None, list[int]] = {}
        self.keys = 0

    def do(self, deed, choice):
        """The message that has to be on the open path afterwards."""
        shown = open_branch(Conversation.objects.get(pk=self.conversation.pk))
        questions = [turn.message for turn in shown if turn.message.role == "user"]
        answers = [turn.message for turn in shown if turn.message.role == "assistant"]
        self.keys += 1
        if deed == "edit" and questions:
            return self.say(questions[choice % len(questions)].parent_id)
        if deed == "regenerate" and answers:
            return self.ask_again(answers[choice % len(answers)])
        everything = sorted(pk for children in self.children.values() for pk in children)
        if deed == "open" and everything:
            message = everything[choice % len(everything)]
            assert open_path(self.conversation, message) == self.leaf(message)
            return message
        return self.say(answers[-1].pk if answers else None)

    def say(self, parent):
        message, reply = take_turn(self.conversation, f"say {self.keys}", f"k{self.keys}", parent)
        Reply.objects.filter(pk=reply.pk).update(state="complete")
        self.children[parent].append(message.pk)
        self.children[message.pk] = [reply.message_id]
        self.children[reply.message_id] = []
        return reply.message_id

    def ask_again(self, answer):
        reply = regenerate(self.conversation, answer.pk, f"k{self.keys}")
        Reply.objects.filter(pk=reply.pk).update(state="complete")
        self.children[answer.parent_id].append(reply.message_id)
        self.children[reply.message_id] = []
        return reply.message_id

    def leaf(self, message):
        """The youngest of all that comes after the message."""
        return max([message, *(self.leaf(child) for child in self.children[message])])

    def check(self, reached):
        path = open_branch(Conversation.objects.get(pk=self.conversation.pk))
        ids = [turn.message.pk for turn in path]
        assert reached in ids
        assert [turn.message.parent_id for turn in path] == [None, *ids[:-1]]
        assert [turn.message.role for turn in path] == ["user", "assistant"] * (len(path) // 2)
        assert self.children[ids[-1]] == []
        for turn in path:
            assert list(turn.siblings) == self.children[turn.message.parent_id]
            before = self.seen.get(turn.message.parent_id, [])
            assert list(turn.siblings)[: len(before)] == before  # the order stays, and grows at its end
            self.seen[turn.message.parent_id] = list(turn.siblings)
            assert turn.siblings[turn.number - 1] == turn.message.pk
        assert Message.objects.filter(conversation=self.conversation).count() == len(self.children) - 1


DEEDS = st.tuples(st.sampled_from(["say", "edit", "regenerate", "open"]), st.integers(0, 1000))


@pytest.mark.django_db
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(deeds=st.lists(DEEDS, min_size=1, max_size=14))
def test_one_path_is_open_whatever_is_done(alice, settings, deeds):
    settings.CHAT_MESSAGES_PER_MINUTE = settings.CHAT_QUEUE_LIMIT = 10_000
    with transaction.atomic():
        person = Person(alice)
        for deed, choice in deeds:
            person.check(person.do(deed, choice))
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_a_conversation_from_before_there_was_a_tip_opens_at_its_newest_message(conversation):
    one, reply = take_turn(conversation, "One", "k1", None)
    Conversation.objects.update(tip=None)
    conversation.refresh_from_db()
    assert [turn.message.pk for turn in open_branch(conversation)] == [
        one.pk,
        reply.message_id,
    ]


@pytest.mark.django_db
def test_a_branch_to_a_message_ends_there(conversation):
    one, reply = take_turn(conversation, "One", "k1", None)
    Reply.objects.update(state="complete")
    take_turn(conversation, "Two", "k2", reply.message_id)
    assert [turn.message.pk for turn in branch_to(reply.message)] == [
        one.pk,
        reply.message_id,
    ]
    assert len(tree_of(conversation.pk).parents) == 4
