"""Place and seconds of a queued reply: told honestly, and close to what a simulated site then takes."""

import heapq
import random
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from chat.conversations.turns import take_turn
from chat.errors import QueueFull
from chat.models import Conversation, EngineProcess, Reply, Ticket
from chat.queue import replies, waiting
from chat.queue.waiting import play_forward, rounded, waits
from tests.chat.queue.queue_rows import engine, queued

pytestmark = pytest.mark.django_db


def lasted(owner, policy, seconds):
    now = timezone.now()
    reply = queued(owner, policy)
    Reply.objects.filter(pk=reply.pk).update(
        state="complete", started_at=now - timedelta(seconds=seconds), ended_at=now
    )


def asked(owner, policy, seconds, ago_s=0, **fields):
    """A request of a program that was answered."""
    ended = timezone.now() - timedelta(seconds=ago_s)
    started = ended - timedelta(seconds=seconds)
    times = {"queued_at": started, "granted_at": started, "ended_at": ended, "lease_until": ended}
    Ticket.objects.create(user=owner, policy=policy, **{"state": "ended", **times, **fields})


def test_replies_and_requests_of_programs_tell_together_how_long_one_takes(alice, live, named, monkeypatch):
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    assert waiting.usual_seconds(live.pk) is None
    asked(alice, live, 3)
    assert waiting.usual_seconds(live.pk) == waiting.usual_seconds(named.pk) == 3
    lasted(alice, live, 5)
    assert waiting.usual_seconds(live.pk) == 4
    asked(alice, live, 60, error="engine_down")
    asked(alice, live, 60, state="granted", ended_at=None)
    asked(alice, live, 60, ago_s=7200)
    asked(alice, named, 1)
    assert waiting.usual_seconds(live.pk) == 4
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(seconds=30))
    for seconds in range(waiting.RECENT):
        asked(alice, live, 10 + seconds % 2)
    assert waiting.usual_seconds(live.pk) == 10.5


def test_each_engine_has_a_line_of_its_own(alice, live, named):
    engine(live, is_default=True)
    asked = [queued(alice, policy) for policy in (None, named, None, named, None)]
    found = waits([reply.pk for reply in asked])
    assert [found[reply.pk].place for reply in asked] == [1, 1, 2, 2, 3]
    assert [found[reply.pk].engine for reply in asked] == ["ready", "starting", "ready", "starting", "ready"]


def test_of_what_is_not_queued_nothing_is_said(alice, live):
    reply = queued(alice)
    replies.stop(reply.pk)
    assert waits([reply.pk]) == {}


def test_seconds_come_from_how_long_replies_took(alice, live, settings, monkeypatch):
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    settings.CHAT_ENGINE_SLOTS = 2
    engine(live, is_default=True)
    first = queued(alice)
    assert waits([first.pk])[first.pk].seconds is None, "nobody knows yet"
    for seconds in (2, 4, 6):
        lasted(alice, live, seconds)
    for ran in (1, 3):
        busy = queued(alice)
        Reply.objects.filter(pk=busy.pk).update(
            state="streaming", policy=live, started_at=now - timedelta(seconds=ran)
        )
    line = [first, *(queued(alice) for _ in range(4))]
    found = waits([reply.pk for reply in line])
    # Two slots, four seconds a reply: the slots are free in one second and in three, and every four seconds again.
    assert [found[reply.pk].seconds for reply in line] == [1, 3, 5, 7, 9]


def test_replies_of_other_policies_say_how_long_it_takes_until_this_one_made_some(alice, live, named):
    lasted(alice, live, 8)
    assert waiting.usual_seconds(named.pk) == pytest.approx(8, abs=0.1)
    lasted(alice, named, 2)
    assert waiting.usual_seconds(named.pk) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "starting"),
        ([("starting", 0)], "starting"),
        ([("ready", 0)], "ready"),
        ([("ready", 60)], "restarting"),
        ([("dead", 3), ("starting", 0)], "restarting"),
        ([("dead", 3600), ("starting", 0)], "starting"),
        ([("unloaded", 3), ("starting", 0)], "starting"),
        ([("draining", 0)], "starting"),
    ],
)
def test_an_engine_that_died_a_moment_ago_is_restarting(alice, named, rows, expected):
    for state, age_s in rows:
        row = engine(named, state="dead" if state == "unloaded" else state, age_s=age_s)
        EngineProcess.objects.filter(pk=row.pk).update(error="killed" if state == "dead" else "")
    assert waiting.engine_of(named.pk)[0] == expected


def test_a_former_live_policy_that_still_answers_counts_as_ready(alice, live, named):
    engine(named, is_default=True)
    assert waiting.engine_of(None) == ("ready", named.pk)


def test_a_full_queue_says_when_there_is_room(alice, live, settings, monkeypatch):
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    settings.CHAT_QUEUE_LIMIT, settings.CHAT_REPLIES_PER_USER, settings.CHAT_ENGINE_SLOTS = 1, 9, 1
    engine(live, is_default=True)
    lasted(alice, live, 7)
    busy = queued(alice)
    Reply.objects.filter(pk=busy.pk).update(state="streaming", policy=live, started_at=timezone.now())
    queued(alice)
    with pytest.raises(QueueFull) as refusal:
        take_turn(Conversation.objects.create(owner=alice), "Hi", "k", None)
    assert refusal.value.retry_after_s == 7


@given(st.integers(1, 40), st.integers(1, 8), st.lists(st.floats(0, 30), max_size=8), st.floats(0.1, 30))
def test_the_line_moves_in_order_and_as_fast_as_the_slots(length, slots, running, usual):
    starts = play_forward(length, slots, running, usual)
    assert len(starts) == length
    assert starts == sorted(starts)
    assert all(start >= 0 for start in starts)
    for earlier, later in zip(starts, starts[slots:], strict=False):
        assert later >= earlier + usual * 0.99


@pytest.mark.parametrize("seed", range(5))
def test_the_estimate_is_near_what_a_site_with_uneven_replies_takes(seed):
    """A site whose replies take from 1 to 9 seconds: over many lines the mean error is small, and no bias."""
    chance = random.Random(seed)
    errors, waited = [], []
    for _ in range(200):
        slots, length = chance.randint(1, 6), chance.randint(1, 20)
        times = [chance.uniform(1, 9) for _ in range(slots)]
        ran = [chance.uniform(0, 1) * time for time in times]
        free = [time - done for time, done in zip(times, ran, strict=True)]
        heapq.heapify(free)
        for _ in range(length):
            start = heapq.heappop(free)
            heapq.heappush(free, start + chance.uniform(1, 9))
        errors.append(play_forward(length, slots, ran, 5.0)[-1] - start)
        waited.append(start)
    assert abs(sum(errors)) / sum(waited) < 0.15
    assert sum(map(abs, errors)) / sum(waited) < 0.35


@pytest.mark.parametrize(("seconds", "told"), [(0, 0), (0.2, 1), (9.5, 10), (10.1, 15), (58, 60), (61, 90)])
def test_a_time_is_told_as_precisely_as_it_is_known(seconds, told):
    assert rounded(seconds) == told
