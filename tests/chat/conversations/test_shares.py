"""A policy on a share of the chats: what it answers, and that consent and a ready engine come before it."""

import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from chat import model_choice, site_choices
from chat.conversations import shares
from chat.conversations.turns import regenerate, take_turn
from chat.models import Conversation, EngineProcess, Pair, Policy, Reply, ShareOfChats
from chat.talker import engine_pool
from tests.chat.talkers import talking

pytestmark = pytest.mark.django_db


@pytest.fixture
def heron(scripted_policy):
    policy = Policy.objects.create(name="heron-2", version=2, is_scripted=True)
    EngineProcess.objects.create(policy=policy, state=EngineProcess.State.READY)
    return policy


@pytest.fixture
def share(heron):
    return ShareOfChats.objects.create(policy=heron, percent=100, salt="s")


@pytest.fixture
def consenting(conversation):
    conversation.may_train = True
    conversation.save()
    return conversation


def answered(conversation, key="k"):
    _message, reply = take_turn(conversation, "Hello", key, None)
    return reply.policy


def test_it_answers_a_conversation_of_its_share(consenting, share, heron):
    assert answered(consenting) == heron


def test_another_reply_to_the_same_message_is_its_too(consenting, share, heron):
    _message, reply = take_turn(consenting, "Hello", "k", None)
    Reply.objects.update(state=Reply.State.COMPLETE)
    assert regenerate(consenting, reply.message_id, "again").policy == heron


def test_without_consent_the_live_policy_answers(conversation, share):
    assert answered(conversation) is None


def test_whoever_withdraws_consent_gets_no_more_replies_of_it(consenting, share, heron):
    assert answered(consenting) == heron
    Reply.objects.update(state=Reply.State.COMPLETE)
    consenting.may_train = False
    consenting.save()
    assert answered(consenting, "later") is None


def test_a_model_that_the_person_chose_goes_before(consenting, share, heron):
    other = Policy.objects.create(name="wren-3", version=3, is_scripted=True)
    consenting.policy = other
    consenting.save()
    assert answered(consenting) == other


def engine_starts(heron, settings):
    EngineProcess.objects.update(state=EngineProcess.State.STARTING)


def engine_is_silent(heron, settings):
    EngineProcess.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))


def no_place(heron, settings):
    settings.CHAT_ENGINES = 1


def weights_are_gone(heron, settings):
    Policy.objects.filter(pk=heron.pk).update(retired_at=timezone.now())


@pytest.mark.parametrize("happens", [engine_starts, engine_is_silent, no_place, weights_are_gone])
def test_the_live_policy_answers_where_it_can_not(consenting, share, heron, settings, happens):
    happens(heron, settings)
    assert answered(consenting) is None


def test_a_tenth_is_a_tenth_and_a_conversation_stays_where_it_is(alice, heron):
    share = ShareOfChats(policy=heron, percent=10, salt="s")
    rooms = [Conversation(owner=alice) for _ in range(4000)]
    taken = [shares.contains(share, room) for room in rooms]
    assert 0.08 < sum(taken) / len(taken) < 0.12  # 4 standard errors on each side
    assert [shares.contains(share, room) for room in rooms] == taken


def test_a_larger_share_holds_the_smaller_one_and_another_salt_other_chats(alice, heron):
    rooms = [Conversation(owner=alice) for _ in range(500)]

    def those(percent, salt):
        share = ShareOfChats(policy=heron, percent=percent, salt=salt)
        return {room.pk for room in rooms if shares.contains(share, room)}

    assert those(10, "s") < those(40, "s")
    assert len(those(40, "s") & those(40, "t")) < 0.6 * len(those(40, "s"))
    assert those(0, "s") == set()
    assert len(those(100, "s")) == 500


def test_a_pair_there_is_the_live_policy_and_the_one_that_is_tried(consenting, share, heron):
    ShareOfChats.objects.update(pairs_percent=100)
    take_turn(consenting, "Hello", "k", None)
    pair = Pair.objects.get()
    assert {pair.left.policy, pair.right.policy} == {None, heron}  # None: the live one


def test_the_one_on_trial_is_not_compared_there(consenting, share, heron, alice):
    Policy.objects.create(name="wren-3", version=3, is_scripted=True, is_on_trial=True)
    site_choices.change(alice, side_by_side_percent=100)
    take_turn(consenting, "Hello", "k", None)
    pair = Pair.objects.get()
    assert {pair.left.policy, pair.right.policy} == {None, heron}


def test_whoever_wants_no_pairs_gets_none_there_either(consenting, share, heron):
    ShareOfChats.objects.update(pairs_percent=100)
    consenting.owner.sees_side_by_side = False
    consenting.owner.save()
    assert answered(consenting) == heron
    assert not Pair.objects.exists()


def test_elsewhere_pairs_are_as_seldom_as_before(conversation, share):
    ShareOfChats.objects.update(pairs_percent=100)
    take_turn(conversation, "Hello", "k", None)
    assert not Pair.objects.exists()


def test_its_engine_is_kept_beside_the_live_one(share, heron, scripted_policy):
    wanted = engine_pool._wanted_policies()
    assert (wanted.live, wanted.tried) == (scripted_policy, (heron,))
    assert heron in wanted
    share.delete()
    assert heron not in engine_pool._wanted_policies()


def test_its_name_is_not_among_the_models_to_choose_from(share, heron, alice):
    assert heron not in [option.policy for option in model_choice.options_for(alice)]
    share.delete()
    assert heron in [option.policy for option in model_choice.options_for(alice)]


@pytest.mark.django_db(transaction=True)
async def test_its_engine_starts_by_itself_and_answers_its_share_alone(script, alice, monkeypatch):
    monkeypatch.setattr(engine_pool, "STEP_S", 0.02)
    await sync_to_async(Policy.objects.create)(name="wren-1", version=1, is_live=True, is_scripted=True)
    heron = await sync_to_async(Policy.objects.create)(name="heron-2", version=2, is_scripted=True)
    await sync_to_async(ShareOfChats.objects.create)(policy=heron, percent=100, salt="s")
    async with talking(), asyncio.timeout(20):
        while not await heron.engines.filter(state=EngineProcess.State.READY).aexists():
            await asyncio.sleep(0.02)
        for may_train in (True, False):
            room = await sync_to_async(Conversation.objects.create)(owner=alice, may_train=may_train)
            await sync_to_async(take_turn)(room, "Hello", "k", None)
            while await Reply.objects.filter(state__in=Reply.LIVE).aexists():
                await asyncio.sleep(0.02)
    rows = Reply.objects.select_related("policy", "message__conversation")
    written = {reply.message.conversation.may_train: reply.policy.name async for reply in rows}
    assert written == {True: "heron-2", False: "wren-1"}
