"""Celery tasks: drive a run, start a due cycle, reap silent runs. The rows own the work, so tasks may get lost."""

import logging
from functools import partial

from celery import shared_task
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

from chat.errors import NoLivePolicy
from rlhf.errors import CycleUnderWay, LeaseLost, NotEnoughFeedback, NotEnoughSpace
from rlhf.models import Run
from rlhf.runs import comparing, cycle, leases
from rlhf.runs.supervisor import Supervisor
from rlhf.snapshots import freezing

log = logging.getLogger(__name__)


@shared_task(name="rlhf.tasks.run_cycle")
def run_cycle(run_id: int) -> None:
    """Drives a run unless another supervisor does; puts it back if this worker's parent dies."""
    try:
        cycle.drive(run_id, Supervisor(ends_with_parent=True))
    except LeaseLost as error:
        log.warning("%s", error)
    except Run.DoesNotExist:
        log.warning("run %s is gone", run_id)


@shared_task(name="rlhf.tasks.start_due_cycle")
def start_due_cycle() -> int | None:
    """Starts a cycle when enough was judged since the last; the database prevents two at once."""
    after = settings.RLHF_CYCLE_AFTER
    if not after or cycle.live_cycle() is not None or freezing.fresh_rankings() < after:
        return None
    try:
        run = cycle.start(seed=cycle.next_seed(), comparisons=settings.RLHF_CYCLE_COMPARISONS)
    except (CycleUnderWay, NotEnoughFeedback, NotEnoughSpace, NoLivePolicy) as error:
        log.info("no cycle now: %s", error)
        return None
    enqueue(run.pk)
    return run.pk


@shared_task(name="rlhf.tasks.reap_runs")
def reap_runs() -> list[int]:
    """Takes over runs whose supervisor died, lets those go on that waited for people, and sends queued runs to the
    worker that no worker took."""
    waiting = [*comparing.go_on_where_over(), *leases.take_over_silent()]
    for run_id in waiting:
        enqueue(run_id)
    return waiting


def enqueue(run_id: int) -> None:
    """Sends a run to a worker once the transaction that made it is committed."""
    transaction.on_commit(partial(_send, run_id))


def _send(run_id: int) -> None:
    try:
        run_cycle.delay(run_id)
    except OperationalError as error:  # the row stays queued, and reap_runs sends it again
        log.warning("run %s waits for the broker: %s", run_id, error)
