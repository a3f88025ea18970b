"""Celery tasks: drive a run, start a due cycle, reap silent runs, decide on a canary.

The rows own the work, so tasks may get lost.
"""

import logging
from functools import partial

from celery import shared_task
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

from chat.errors import BadPolicy, NoLivePolicy
from rlhf.errors import CycleUnderWay, LeaseLost, NotEnoughFeedback, RlhfError, ServedElsewhere
from rlhf.models import Run
from rlhf.release import canary, canary_rows
from rlhf.runs import comparing, cycle, held_up, leases, rollout_servers
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
    """Starts a cycle when enough was judged since the last; the database prevents two at once.

    None while a candidate answers a share of the chats: what is trained against a policy that may be replaced any day
    could not be promoted then.
    """
    after = settings.RLHF_CYCLE_AFTER
    if not after or cycle.live_cycle() is not None or canary_rows.running() is not None:
        return None
    if freezing.fresh_rankings() < after:
        return None
    try:
        run = cycle.start(seed=cycle.next_seed(), comparisons=settings.RLHF_CYCLE_COMPARISONS)
    except (CycleUnderWay, NotEnoughFeedback, NoLivePolicy, ServedElsewhere) as error:
        log.info("no cycle now: %s", error)
        return None
    except (RlhfError, BadPolicy, OSError) as error:
        log.warning("a cycle is due and cannot start: %s", error)
        held_up.tell(error)
        return None
    enqueue(run.pk)
    return run.pk


@shared_task(name="rlhf.tasks.check_canary")
def check_canary() -> str | None:
    """Promotes or withdraws the candidate that answers a share of the chats, where people have decided on it."""
    checked = canary.check()
    return None if checked is None else str(checked.state)


@shared_task(name="rlhf.tasks.reap_runs")
def reap_runs() -> list[int]:
    """Takes over runs whose supervisor died, lets those go on that waited for people, and sends queued runs to the
    worker that no worker took. Takes away what ended runs left on servers that sampled for them."""
    waiting = [*comparing.go_on_where_over(), *leases.take_over_silent()]
    for run_id in waiting:
        enqueue(run_id)
    rollout_servers.tidy_ended()
    return waiting


def enqueue(run_id: int) -> None:
    """Sends a run to a worker once the transaction that made it is committed."""
    transaction.on_commit(partial(_send, run_id))


def _send(run_id: int) -> None:
    try:
        run_cycle.delay(run_id)
    except OperationalError as error:  # the row stays queued, and reap_runs sends it again
        log.warning("run %s waits for the broker: %s", run_id, error)
