"""Tickets in the one line with the replies: order, room, places that are told; each ends and is billed once."""

import random
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from chat import fsck
from chat.errors import BadPolicy
from chat.models import Conversation, EngineProcess, Message, Reply, Ticket
from chat.queue import claims, line, reaping, replies, tickets, waiting
from chat.queue.tickets import Used
from metering.models import Usage

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture(autouse=True)
def _roomy(settings):
    settings.API_CONCURRENCY, settings.CHAT_QUEUE_LIMIT, settings.CHAT_ENGINE_SLOTS = 1000, 1000, 4


def reply(owner, policy=None, age_s=0.0):
    room = Conversation.objects.create(owner=owner)
    message = Message.objects.create(conversation=room, role="user", text="Hi")
    made = replies.queue(message, {}, policy=policy)
    Reply.objects.filter(pk=made.pk).update(queued_at=NOW - timedelta(seconds=age_s))
    return made


def ticket(owner, policy=None, age_s=0.0, slots=1):
    made = tickets.queue(uuid.uuid4(), owner.pk, None, policy, slots)
    Ticket.objects.filter(pk=made.pk).update(queued_at=NOW - timedelta(seconds=age_s))
    return made


def claim(policy, room, **options):
    """Primary keys of what was claimed."""
    claimed = claims.claim("talker", policy, None, room, **options)
    return [row.pk for row in claimed.replies], [row.pk for row in claimed.tickets]


def test_whoever_has_waited_longest_comes_first_be_it_a_person_or_a_program(alice, live):
    ages = [50, 40, 30, 20, 10]
    line = [(ticket if place % 2 else reply)(alice, age_s=age) for place, age in enumerate(ages)]
    for expected in line:
        said, granted = claim(live, 1)
        assert said + granted == [expected.pk]
    assert claim(live, 4) == ([], [])


@pytest.mark.parametrize("queue", [reply, ticket])
def test_the_line_is_empty_until_somebody_waits_and_once_that_is_granted(queue, alice, live):
    assert line.is_empty()
    queue(alice)
    assert not line.is_empty()
    claim(live, 1)
    assert line.is_empty()


def test_one_that_wants_more_room_than_there_is_waits_at_the_head_and_nobody_overtakes(alice, live):
    big, small = ticket(alice, age_s=20, slots=3), reply(alice, age_s=10)
    assert claim(live, 2) == ([], [])
    assert claim(live, 3) == ([], [big.pk])
    assert claim(live, 1) == ([small.pk], [])


def test_the_room_that_is_taken_never_exceeds_the_room_that_there_is(alice, live):
    chance = random.Random(4)
    for _ in range(40):
        wanted = [chance.choice([1, 1, 2, 4]) for _ in range(chance.randint(1, 5))]
        for slots in wanted:
            ticket(alice, slots=slots)
        room = chance.randint(1, 4)
        claimed = claims.claim("talker", live, None, room)
        assert sum(row.slots for row in claimed.tickets) <= room
        Ticket.objects.all().delete()


def test_a_named_policy_and_the_live_one_have_lines_of_their_own(alice, live, named):
    mine, anybodys = ticket(alice, named), ticket(alice)
    assert claim(named, 4, unnamed=False) == ([], [mine.pk])
    assert claim(live, 4) == ([], [anybodys.pk])
    assert set(Ticket.objects.values_list("policy__name", flat=True)) == {"live", "named"}


def test_whose_lease_is_over_is_passed_by(alice, live):
    gone, there = ticket(alice, age_s=20), ticket(alice, age_s=10)
    Ticket.objects.filter(pk=gone.pk).update(lease_until=NOW - timedelta(seconds=1))
    assert claim(live, 1) == ([], [there.pk])
    assert tickets.renew({there.pk: Used()}) == set()
    reaping.reap()
    assert Ticket.objects.get(pk=gone.pk).state == "ended"
    assert not Usage.objects.exists(), "it had used nothing"


def test_places_and_seconds_of_replies_count_the_tickets_before_them(alice, live, monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    EngineProcess.objects.create(policy=live, state="ready", is_default=True, heartbeat_at=NOW)
    done = reply(alice)
    Reply.objects.filter(pk=done.pk).update(
        state="complete", policy=live, started_at=NOW - timedelta(seconds=4), ended_at=NOW
    )
    busy = ticket(alice, slots=4)
    tickets.grant("talker", live, None, busy.pk)
    Ticket.objects.filter(pk=busy.pk).update(granted_at=NOW - timedelta(seconds=1))
    first = reply(alice, age_s=30)
    ticket(alice, age_s=20, slots=4)
    last = reply(alice, age_s=10)
    found = waiting.waits([first.pk, last.pk])
    # Four slots, four seconds a completion: all are free in three seconds, three of them again four seconds later.
    assert [(found[row.pk].place, found[row.pk].seconds) for row in (first, last)] == [(1, 3), (3, 7)]


def test_a_ticket_ends_once_and_is_billed_once(alice, live):
    row = ticket(alice)
    assert claim(live, 1) == ([], [row.pk])
    assert tickets.end(row.pk, Used(5, 7), names=["davinci"])
    assert not tickets.end(row.pk, Used(50, 70))
    assert tickets.renew({row.pk: Used(9, 9)}) == {row.pk}
    assert tickets.still_granted("talker", [row.pk]) == set()
    usage = Usage.objects.get()
    assert (usage.ref, usage.prompt_tokens, usage.completion_tokens) == (f"ticket:{row.pk}", 5, 7)
    assert list(fsck.usage_is_written_down()) == []


def test_a_policy_that_can_not_be_loaded_ends_those_that_named_it_alone(alice, live, named):
    mine, other = ticket(alice, named), ticket(alice)
    tickets.refuse(named, BadPolicy())
    assert [Ticket.objects.get(pk=row.pk).state for row in (mine, other)] == ["ended", "queued"]
    assert Ticket.objects.get(pk=mine.pk).error == "bad_policy"


def test_ended_tickets_are_removed_after_days_and_their_bills_stay(alice, live):
    old, new = ticket(alice), ticket(alice)
    claim(live, 2)
    for row in (old, new):
        tickets.end(row.pk, Used(1, 1))
    Ticket.objects.filter(pk=old.pk).update(ended_at=NOW - tickets.KEPT - timedelta(minutes=1))
    assert tickets.remove_old() == 1
    assert Ticket.objects.get() == new
    assert Usage.objects.count() == 2


def test_fsck_finds_what_stays_open_and_what_was_not_billed(alice, live):
    forgotten, unbilled = ticket(alice), ticket(alice)
    claim(live, 2)
    tickets.end(unbilled.pk, Used(1, 1))
    Usage.objects.all().delete()
    Ticket.objects.filter(pk=forgotten.pk).update(lease_until=NOW - timedelta(minutes=3))
    assert [str(forgotten.pk) in text for text in fsck.tickets_end()] == [True]
    assert [str(unbilled.pk) in text for text in fsck.usage_is_written_down()] == [True]
