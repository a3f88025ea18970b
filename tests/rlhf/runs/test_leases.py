"""Leases: one supervisor at a time, and the runs of those that fell silent are taken over."""

import threading
from datetime import timedelta

import pytest
from django.db import connections

from rlhf import tasks
from rlhf.models import Run
from rlhf.runs import leases
from rlhf.snapshots import freezing
from tests.rlhf import feedback_rows
from tests.rlhf.expired_leases import expire

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stage(base_policy):
    """A reward model run that waits for a supervisor."""
    feedback_rows.plenty(feedback_rows.annotator("ann"))
    return Run.objects.create(kind=Run.Kind.REWARD_MODEL, snapshot=freezing.freeze(), base_policy=base_policy)


def test_a_queued_run_is_cancelled_at_once(stage):
    assert leases.cancel(stage)
    stage.refresh_from_db()
    assert stage.state == Run.State.CANCELLED
    assert not leases.cancel(stage)


def test_of_many_supervisors_one_gets_the_run(stage):
    claims, barrier = [], threading.Barrier(8)

    def attempt(number):
        barrier.wait()
        claims.append(leases.claim(stage.pk, f"owner-{number}"))
        connections.close_all()

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len([claim for claim in claims if claim is not None]) == 1
    stage.refresh_from_db()
    assert stage.attempt == 1


def test_a_run_whose_supervisors_keep_dying_is_given_up(stage, no_worker):
    for _ in range(leases.MAX_ATTEMPTS):
        assert leases.claim(stage.pk, "doomed") is not None
        expire(stage)
        tasks.reap_runs()
    stage.refresh_from_db()
    assert (stage.state, stage.error) == (Run.State.FAILED, "its supervisor died 3 times")
    assert leases.claim(stage.pk, "late") is None


def test_a_cancelled_run_whose_supervisor_died_is_cancelled(stage):
    leases.claim(stage.pk, "doomed")
    leases.cancel(stage)
    expire(stage)
    assert tasks.reap_runs() == []
    stage.refresh_from_db()
    assert stage.state == Run.State.CANCELLED


def test_a_forgotten_run_is_put_to_the_worker_once_in_a_while(stage, no_worker):
    assert tasks.reap_runs() == [stage.pk]
    assert tasks.reap_runs() == []
    assert no_worker == [stage.pk]


def test_a_lease_that_is_renewed_is_not_taken_over(stage):
    run = leases.claim(stage.pk, "alive")
    leases.renew(run, "alive", progress={"step": 1})
    assert tasks.reap_runs() == []
    stage.refresh_from_db()
    assert stage.progress == {"step": 1}
    until = stage.lease_until
    assert timedelta(0) < until - Run.objects.get(pk=stage.pk).started_at <= timedelta(seconds=4)


def test_a_broker_that_is_away_costs_nothing_but_time(stage, monkeypatch):
    from kombu.exceptions import OperationalError

    def away(run_id):
        raise OperationalError("no broker")

    monkeypatch.setattr("rlhf.tasks.run_cycle.delay", away)
    tasks.enqueue(stage.pk)
    stage.refresh_from_db()
    assert stage.state == Run.State.QUEUED
