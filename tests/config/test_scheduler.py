"""Several schedulers: one sends, another takes over where it was, and none ends because the database is away."""

from datetime import timedelta

import pytest
from celery import Celery
from django.db.utils import OperationalError
from django.utils import timezone

from config import scheduler
from config.models import SchedulerLease
from config.scheduler import LeasedScheduler

pytestmark = pytest.mark.django_db
HOUR = 3600.0


class Sending(LeasedScheduler):
    """Notes what it would send, and looks at its lease at every tick."""

    def __init__(self, app):
        self.sent = []
        super().__init__(app)

    def apply_async(self, entry, producer=None, advance=True, **kwargs):
        self.sent.append(entry.name)

    @property
    def producer(self):
        return None

    def ticks(self, count=6):
        waits = []
        for _ in range(count):
            self._renew_at = 0.0
            waits.append(self.tick())
        return waits


@pytest.fixture
def make():
    app = Celery("test", broker="memory://")
    app.conf.timezone = "Asia/Seoul"
    app.conf.beat_schedule = {
        "hourly": {"task": "a", "schedule": HOUR},
        "daily": {"task": "b", "schedule": 24 * HOUR},
    }
    return lambda: Sending(app)


def expire():
    SchedulerLease.objects.update(lease_until=timezone.now() - timedelta(seconds=1))


def test_one_of_two_sends(make):
    first, second = make(), make()
    first.ticks()
    assert sorted(first.sent) == ["daily", "hourly"], "what was never sent is due"
    assert second.ticks() == [scheduler.RENEW_EVERY_S] * 6
    assert second.sent == []


def test_another_takes_over_and_sends_nothing_twice(make):
    first, second = make(), make()
    first.ticks()
    expire()
    second.ticks()
    assert second.sent == []
    assert SchedulerLease.objects.get().owner == second.owner
    first.ticks()
    assert not first.leads, "the first one notices"


def test_what_became_due_while_nobody_ran_is_sent_once(make):
    first = make()
    first.ticks()
    expire()
    row = SchedulerLease.objects.get()
    row.last_sent = {name: seconds - 2 * HOUR for name, seconds in row.last_sent.items()}
    row.save()
    second = make()
    second.ticks()
    assert second.sent == ["hourly"]


def test_one_that_ends_leaves_the_lease_at_once(make):
    first, second = make(), make()
    first.ticks()
    first.close()
    second.ticks()
    assert second.leads


def test_a_database_that_is_away_stops_the_sending_but_not_the_scheduler(make, monkeypatch):
    first = make()
    first.ticks()

    def refuse(*args):
        raise OperationalError("gone")

    with monkeypatch.context() as away:
        away.setattr(scheduler, "_take", refuse)
        away.setattr(scheduler.connections, "close_all", lambda: None)
        assert first.ticks(1) == [scheduler.RENEW_EVERY_S]
        assert not first.leads
    first.ticks()
    assert first.leads
    assert sorted(first.sent) == ["daily", "hourly"], "not sent again"
