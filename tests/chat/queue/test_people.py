"""Room for bulk work: none while people wait, little beside many readers, half of the slots while nobody is there."""

import math
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from chat.errors import QueueFull
from chat.models import Conversation, Message, Policy, Reply, Ticket
from chat.queue import claims, limits, people, replies, tickets

pytestmark = pytest.mark.django_db


@pytest.fixture
def live():
    return Policy.objects.create(name="live", version=1, is_live=True, is_scripted=True)


@pytest.fixture(autouse=True)
def _roomy(settings):
    settings.API_CONCURRENCY, settings.CHAT_QUEUE_LIMIT, settings.CHAT_ENGINE_SLOTS = 1000, 1000, 16


def reply(owner, **changes):
    message = Message.objects.create(conversation=Conversation.objects.create(owner=owner), role="user", text="Hi")
    made = replies.queue(message, {})
    Reply.objects.filter(pk=made.pk).update(**changes)
    return made


def streaming(owner):
    return reply(owner, state="streaming", lease_until=timezone.now() + timedelta(seconds=20))


def ticket(owner, slots=1, *, is_batch=True):
    return tickets.queue(uuid.uuid4(), owner.pk, None, None, slots, is_batch=is_batch)


def granted(policy, free_slots=16):
    return {row.pk for row in claims.claim("talker", policy, None, free_slots).tickets}


def test_nobody_leaves_half_of_the_slots(settings):
    assert people.room_for_bulk() == 8
    settings.CHAT_ENGINE_SLOTS = 1
    assert people.room_for_bulk() == 1


@pytest.mark.parametrize(("readers", "room"), [(1, 0), (3, 0), (4, 1), (7, 1), (8, 2)])
def test_beside_few_readers_there_is_none_and_beside_many_a_fifth(alice, readers, room):
    for _ in range(readers):
        streaming(alice)
    assert people.room_for_bulk() == room


def test_whoever_waits_comes_first_however_many_read(alice):
    for _ in range(8):
        streaming(alice)
    reply(alice)
    assert people.room_for_bulk() == 0


def test_a_single_request_counts_as_a_person_and_a_batch_does_not(alice):
    ticket(alice)
    assert people.room_for_bulk() == 8
    ticket(alice, is_batch=False)
    assert people.room_for_bulk() == 0


def test_replies_that_nobody_writes_or_wants_do_not_count(alice):
    reply(alice, state="streaming", lease_until=timezone.now() - timedelta(seconds=1))
    reply(alice, stop_requested=True)
    reply(alice, state="complete")
    assert people.room_for_bulk() == 8


def test_idleness_is_counted_from_the_end_of_the_last_reply(alice):
    assert people.idle_s() == math.inf
    now = timezone.now()
    reply(alice, state="complete", ended_at=now - timedelta(seconds=30))
    reply(alice, state="complete", ended_at=now - timedelta(seconds=90))
    assert people.idle_s() == pytest.approx(30, abs=2)
    single = ticket(alice, is_batch=False)
    assert people.idle_s() == 0
    tickets.end(single.pk)
    assert people.idle_s() == pytest.approx(0, abs=2)


def test_an_older_batch_is_overtaken_by_people_and_single_requests(alice, live):
    batch = ticket(alice)
    single, person = ticket(alice, is_batch=False), reply(alice)
    claimed = claims.claim("talker", live, None, 16)
    assert [row.pk for row in claimed.replies] == [person.pk]
    assert [row.pk for row in claimed.tickets] == [single.pk]
    assert Ticket.objects.get(pk=batch.pk).state == "queued"


def test_a_batch_is_granted_when_the_last_person_is_served(alice, live):
    batch, person = ticket(alice), streaming(alice)
    assert granted(live) == set()
    Reply.objects.filter(pk=person.pk).update(state="complete")
    assert granted(live) == {batch.pk}


def test_batches_together_leave_half_of_the_slots_free(alice, live):
    first, second, third = ticket(alice, 4), ticket(alice, 4), ticket(alice, 1)
    assert granted(live) == {first.pk, second.pk}
    tickets.end(first.pk)
    assert granted(live) == {third.pk}


def test_beside_many_readers_as_many_batches_run_as_there_is_room(alice, live):
    for _ in range(4):
        streaming(alice)
    batches = {ticket(alice).pk for _ in range(2)}
    assert len(granted(live) & batches) == 1
    assert granted(live) == set()


def test_batches_that_wait_take_no_place_of_people_in_the_queue(alice, settings):

    settings.CHAT_QUEUE_LIMIT = 3
    for _ in range(3):
        ticket(alice)
    limits.check_room(alice.pk)
    with pytest.raises(QueueFull):
        limits.check_room_for_ticket(alice.pk, is_batch=True)
