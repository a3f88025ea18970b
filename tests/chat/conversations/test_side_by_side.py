"""Two replies side by side: when, by whom, and that nobody is told who wrote which before the choice."""

import json

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from chat import site_choices
from chat.conversations import side_by_side
from chat.conversations.turns import regenerate, take_turn
from chat.engines.scripted import ScriptedEngine
from chat.models import Conversation, Pair, Policy, Reply
from tests.chat.sockets import opened
from tests.chat.talkers import talking

pytestmark = pytest.mark.django_db


@pytest.fixture
def always(db, alice):
    site_choices.change(alice, side_by_side_percent=100)


@pytest.fixture
def on_trial(scripted_policy):
    return Policy.objects.create(name="heron-2", version=2, is_scripted=True, is_on_trial=True)


def turn(conversation, text="Hello", key="k", parent=None):
    message, _reply = take_turn(conversation, text, key, parent)
    return message, Pair.objects.filter(message=message).first()


def end(*replies, text="Done."):
    for reply in replies:
        Reply.objects.filter(pk=reply.pk).update(state=Reply.State.COMPLETE)
        reply.message.text = text
        reply.message.save()


def test_no_turn_is_a_pair_where_no_admin_wants_it(conversation, scripted_policy):
    assert turn(conversation)[1] is None
    assert Reply.objects.count() == 1


def test_every_turn_is_a_pair_at_a_hundred_percent(conversation, always, on_trial):
    message, pair = turn(conversation)
    assert {pair.left.message.parent, pair.right.message.parent} == {message}
    assert {pair.left.policy, pair.right.policy} == {None, on_trial}  # None: the live one
    conversation.refresh_from_db()
    assert conversation.tip == pair.left.message


def test_the_same_send_again_is_the_same_pair(conversation, always, on_trial):
    _message, pair = turn(conversation)
    assert turn(conversation)[1] == pair
    assert Reply.objects.count() == 2


def test_some_turns_are_pairs_at_some_percent(alice, scripted_policy, monkeypatch):
    site_choices.change(alice, side_by_side_percent=30)
    drawn = iter((0.29, 0.31))
    monkeypatch.setattr(side_by_side.CHANCE, "random", lambda: next(drawn))
    assert turn(Conversation.objects.create(owner=alice, may_train=True))[1] is not None
    Reply.objects.update(state=Reply.State.COMPLETE)
    assert turn(Conversation.objects.create(owner=alice, may_train=True))[1] is None


def test_a_person_switches_pairs_off(conversation, alice, always, on_trial):
    client = Client()
    client.force_login(alice)
    assert client.post("/side-by-side/", {"is_on": ""}, headers={"Accept": "application/json"}).json() == {
        "is_on": False
    }
    conversation.owner.refresh_from_db()
    assert turn(conversation)[1] is None


def test_both_sides_are_the_live_policy_s_with_other_seeds_where_none_is_on_trial(
    conversation, always, scripted_policy
):
    conversation.may_train = True
    _message, pair = turn(conversation)
    assert (pair.left.policy, pair.right.policy) == (None, None)
    assert pair.left.parameters["seed"] != pair.right.parameters["seed"]


def test_nobody_is_asked_for_a_choice_that_nobody_learns_from(conversation, always, scripted_policy):
    Conversation.objects.filter(pk=conversation.pk).update(may_train=False)
    conversation.refresh_from_db()
    assert turn(conversation)[1] is None
    Reply.objects.update(state=Reply.State.COMPLETE)
    Policy.objects.create(name="heron-2", version=2, is_scripted=True, is_on_trial=True)
    assert turn(conversation, key="k2")[1] is not None, "a trial learns from it, whatever may be trained on"


@pytest.mark.parametrize(("has_trial", "may_train"), [(True, True), (True, False), (False, True)])
def test_the_page_says_what_a_choice_is_for(conversation, always, scripted_policy, has_trial, may_train):
    Conversation.objects.filter(pk=conversation.pk).update(may_train=may_train)
    conversation.refresh_from_db()
    Policy.objects.create(name="heron-2", version=2, is_scripted=True, is_on_trial=has_trial)
    turn(conversation)
    client = Client()
    client.force_login(conversation.owner)
    page = client.get(f"/c/{conversation.pk}/").content.decode()
    assert ("helps to decide which version answers" in page) == has_trial
    assert ("The model learns from your choice" in page) == may_train


def test_the_live_policy_alone_without_chance_is_not_compared_with_itself(
    conversation, always, scripted_policy, settings
):
    settings.CHAT_TEMPERATURE = 0.0
    assert turn(conversation)[1] is None


def test_either_stands_left_the_order_is_kept_and_row_numbers_tell_nothing(alice, always, on_trial):
    left = set()
    for _ in range(40):
        pair = turn(Conversation.objects.create(owner=alice))[1]
        left.add(pair.left.policy)
        assert Pair.objects.get(pk=pair.pk).left == pair.left
        assert pair.left_id < pair.right_id
        assert pair.left.message_id < pair.right.message_id
        Reply.objects.update(state=Reply.State.COMPLETE)
        if len(left) == 2:
            return
    raise AssertionError("always the same side")


def test_a_busy_site_shows_one_reply(conversation, always, on_trial, settings):
    settings.CHAT_QUEUE_LIMIT = 3
    assert turn(conversation)[1] is None


def test_a_person_who_waits_for_a_reply_elsewhere_gets_one(alice, always, on_trial):
    turn(Conversation.objects.create(owner=alice))
    Reply.objects.first().delete()
    assert turn(Conversation.objects.create(owner=alice))[1] is None


def test_a_reply_is_blind_until_its_pair_is_revealed(conversation, always, on_trial):
    _message, pair = turn(conversation)
    other = Reply.objects.create(message=conversation.messages.create(role="assistant"), policy=on_trial)
    assert side_by_side.blind([pair.left_id, other.pk]) == {pair.left_id, pair.right_id}
    assert (side_by_side.is_blind(pair.right), side_by_side.is_blind(other)) == (True, False)
    assert side_by_side.reveal(pair, pair.right) is True
    assert side_by_side.blind([pair.left_id, pair.right_id]) == set()
    assert side_by_side.reveal(pair, pair.left) is False  # somebody was quicker
    conversation.refresh_from_db()
    assert conversation.tip == pair.right.message


def test_whoever_writes_on_lets_the_pair_lapse(conversation, always, on_trial, alice):
    _message, pair = turn(conversation)
    end(pair.left, pair.right)
    alice.sees_side_by_side = False
    alice.save()
    take_turn(conversation, "And then?", "k2", pair.right.message_id)
    pair.refresh_from_db()
    assert pair.revealed_at is not None


def test_whoever_makes_one_anew_lets_the_pair_lapse(conversation, always, on_trial):
    _message, pair = turn(conversation)
    end(pair.left, pair.right)
    made = regenerate(conversation, pair.left.message_id, "again")
    pair.refresh_from_db()
    conversation.refresh_from_db()
    assert pair.revealed_at is not None
    assert conversation.tip == made.message
    assert not side_by_side.is_blind(made)


def test_an_edit_of_the_question_leaves_the_pair_undecided(conversation, always, on_trial):
    _message, pair = turn(conversation)
    end(pair.left, pair.right)
    other = turn(conversation, "Hello again", "k2")[1]
    pair.refresh_from_db()
    assert pair.revealed_at is None
    assert other != pair


def page(conversation):
    client = Client()
    client.force_login(conversation.owner)
    return client.get(f"/c/{conversation.pk}/").content.decode()


def test_the_page_shows_two_and_names_neither(conversation, always, on_trial):
    _message, pair = turn(conversation)
    Reply.objects.filter(policy=None).update(policy=Policy.objects.get(name="scripted"))
    for live in (True, False):
        if not live:
            end(pair.left, pair.right)
        text = page(conversation)
        assert text.count('data-side="') == 2
        assert text.index(f'data-reply="{pair.left_id}"') < text.index(f'data-reply="{pair.right_id}"')
        assert "heron-2" not in text
    side_by_side.reveal(pair, pair.right)
    text = page(conversation)
    assert 'data-side="' not in text
    assert "heron-2" in text if pair.right.policy == on_trial else "scripted · v1" in text


@pytest.mark.django_db(transaction=True)
async def test_both_stream_at_once_and_no_frame_tells_who_writes(script, alice, conversation):
    await sync_to_async(Policy.objects.create)(name="wren-1", version=1, is_live=True, is_scripted=True)
    await sync_to_async(Policy.objects.create)(name="heron-2", version=2, is_on_trial=True, is_scripted=True)
    await sync_to_async(site_choices.change)(alice, side_by_side_percent=100)
    ScriptedEngine.script.tokens, ScriptedEngine.script.seconds_a_token = 20, 0.02
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="Hello", key="k", parent=None)
        heard = []
        while sum(frame["type"] == "reply.done" for frame in heard) < 2:
            heard.append(await socket.hear(20))
    pair = heard[0]["pair"]
    chunks = [frame["reply"] for frame in heard if frame["type"] == "reply.chunk"]
    assert set(chunks) == {pair["left"]["id"], pair["right"]["id"]}
    first_end = next(index for index, frame in enumerate(heard) if frame["type"] == "reply.done")
    before = {frame["reply"] for frame in heard[:first_end] if frame["type"] == "reply.chunk"}
    assert len(before) == 2  # neither waited for the other's end
    told = json.dumps(heard)
    assert "wren-1" not in told
    assert "heron-2" not in told
    assert {frame["policy"] for frame in heard if "policy" in frame} == {None}
    policies = {reply.policy.name async for reply in Reply.objects.select_related("policy")}
    assert policies == {"wren-1", "heron-2"}
