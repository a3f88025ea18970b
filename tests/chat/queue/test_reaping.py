"""Replies and tickets that no engine serves end, with the reason, and only after a restart could have come."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from chat.models import EngineProcess, Reply, Ticket
from chat.queue import reaping, tickets
from tests.chat.queue.queue_rows import engine, queued

pytestmark = pytest.mark.django_db


def ticket(owner, policy=None):
    """One that has waited for 100 s."""
    made = tickets.queue(uuid.uuid4(), owner.pk, None, policy, 1)
    Ticket.objects.filter(pk=made.pk).update(queued_at=timezone.now() - timedelta(seconds=100))
    return made


@pytest.mark.parametrize(
    ("silent_s", "state", "ended"),
    [(5, "dead", False), (50, "starting", False), (70, "dead", True), (70, "ready", True)],
)
def test_a_reply_that_waited_long_survives_a_restart_but_not_the_absence_of_every_engine(
    alice, live, silent_s, state, ended
):
    reply = queued(alice)
    now = timezone.now()
    Reply.objects.filter(pk=reply.pk).update(queued_at=now - timedelta(minutes=5))
    row = engine(live, state=state, age_s=silent_s)
    EngineProcess.objects.filter(pk=row.pk).update(ready_at=now - timedelta(hours=1))
    engine(live, state="starting")  # the next one, which may never come up
    reaping.reap()
    reply.refresh_from_db()
    assert (reply.state == "failed") == ended


def test_a_start_that_fails_again_and_again_keeps_nobody_waiting(alice, live):
    reply = queued(alice)
    Reply.objects.filter(pk=reply.pk).update(queued_at=timezone.now() - timedelta(minutes=2))
    engine(live, state="dead")
    engine(live, state="starting")
    reaping.reap()
    reply.refresh_from_db()
    assert (reply.state, reply.error) == ("failed", "engine_down")


def test_where_no_engine_comes_the_wait_ends_with_a_reason(alice, live, named):
    EngineProcess.objects.create(policy=live, state="ready", is_default=True)
    waits, crowded = ticket(alice), ticket(alice, named)
    reaping.reap()
    assert Ticket.objects.get(pk=waits.pk).state == "queued", "its engine is there, however long the line"
    assert Ticket.objects.get(pk=crowded.pk).error == "engines_full"
    EngineProcess.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    reaping.reap()
    assert Ticket.objects.get(pk=waits.pk).error == "engine_down"


def test_how_many_ended_is_told_and_the_replies_of_a_living_talker_are_spared(alice, live):
    past = timezone.now() - timedelta(seconds=1)
    for owner in ("here", "there"):
        Reply.objects.filter(pk=queued(alice).pk).update(
            state="streaming", owner=owner, policy=live, lease_until=past
        )
    Ticket.objects.filter(pk=ticket(alice).pk).update(lease_until=past)
    assert reaping.reap(except_owner="here") == 2
    assert set(Reply.objects.values_list("owner", "state")) == {("here", "streaming"), ("there", "interrupted")}
    assert reaping.reap(except_owner="here") == 0
