"""The lease of a run, in its own row: claimed, renewed and released by conditional updates.

All times are the database's, so two machines whose clocks differ cannot both believe that they have the lease.
"""

import os
import secrets
import socket
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Q, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Concat, Now

from rlhf.errors import LeaseLost
from rlhf.models import Run

MAX_ATTEMPTS = 3
"""Starts of a run without progress, before it fails and waits for a person to resume it."""
NUDGE_AFTER = timedelta(minutes=2)
"""A queued run that nobody took by then is sent to the worker again: messages get lost, rows do not."""


def new_owner() -> str:
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"


def later(delta: timedelta) -> Combinable:
    return ExpressionWrapper(Now() + Value(delta, DurationField()), output_field=DateTimeField())


def claim(run_id: int, owner: str) -> Run | None:
    """Takes a queued run, or a running one whose supervisor has gone silent. None where another has it, where it
    is over, or where its attempts are used up."""
    free = Q(state=Run.State.QUEUED) | Q(state=Run.State.RUNNING, lease_until__lt=Now())
    taken = Run.objects.filter(free, pk=run_id, attempt__lt=MAX_ATTEMPTS).update(
        state=Run.State.RUNNING,
        owner=owner,
        lease_until=later(settings.RLHF_LEASE),
        attempt=F("attempt") + 1,
        started_at=Coalesce(F("started_at"), Now()),
        ended_at=None,
    )
    return Run.objects.get(pk=run_id) if taken else None


def renew(run: Run, owner: str, **fields: Any) -> bool:
    """Renews the run's lease and that of the cycle around it; LeaseLost where either is another's.

    Returns whether somebody asked to cancel one of them.
    """
    rows = [run.pk] if run.parent_id is None else [run.pk, run.parent_id]
    mine = Run.objects.filter(pk__in=rows, owner=owner, state__in=(Run.State.RUNNING, Run.State.CANCELLING))
    if mine.update(lease_until=later(settings.RLHF_LEASE), **fields) != len(rows):
        raise LeaseLost(run.pk)
    return mine.filter(state=Run.State.CANCELLING).exists()


def put_back(run: Run, owner: str, reason: str, *, progressed: bool = False) -> None:
    """Queues the run again for any supervisor; if it progressed, its attempts are counted anew."""
    counted = {"attempt": 0} if progressed else {}
    Run.objects.filter(pk=run.pk, owner=owner).update(
        state=Run.State.QUEUED, owner="", lease_until=None, pid=None, error=reason, **counted
    )


def end(run: Run, owner: str, state: Run.State, **fields: Any) -> None:
    ended = Run.objects.filter(pk=run.pk, owner=owner).update(
        state=state, owner="", lease_until=None, pid=None, ended_at=Now(), **fields
    )
    if not ended:
        raise LeaseLost(run.pk)


def wait_for_people(run: Run, owner: str) -> bool:
    """Gives the run up until people have compared; no supervisor has it meanwhile. False where somebody asked to
    cancel it. LeaseLost."""
    mine = Run.objects.filter(pk=run.pk, owner=owner)
    if mine.filter(state=Run.State.RUNNING).update(
        state=Run.State.WAITING, owner="", lease_until=None, pid=None, attempt=0, error="", progress={}
    ):
        return True
    if not mine.filter(state=Run.State.CANCELLING).exists():
        raise LeaseLost(run.pk)
    return False


def go_on(run_id: int) -> bool:
    """Queues a run that waited for people; False where it no longer waits."""
    waits = Run.objects.filter(pk=run_id, state=Run.State.WAITING)
    return bool(waits.update(state=Run.State.QUEUED, lease_until=later(NUDGE_AFTER)))


def fail_if_exhausted(run_id: int) -> None:
    Run.objects.filter(
        Q(state=Run.State.QUEUED) | Q(state=Run.State.RUNNING, lease_until__lt=Now()),
        pk=run_id,
        attempt__gte=MAX_ATTEMPTS,
    ).update(
        state=Run.State.FAILED,
        owner="",
        lease_until=None,
        ended_at=Now(),
        error=Concat(Value(f"given up after {MAX_ATTEMPTS} starts; the last: "), F("error")),
    )


def cancel(run: Run) -> bool:
    """Asks the run to stop after a checkpoint; one that is queued or waits for people ends at once. False where it is
    over."""
    with transaction.atomic():
        rows = Run.objects.filter(pk=run.pk)
        if rows.filter(state__in=(Run.State.QUEUED, Run.State.WAITING)).update(
            state=Run.State.CANCELLED, ended_at=Now(), lease_until=None
        ):
            Run.objects.filter(parent_id=run.pk, state=Run.State.QUEUED).update(state=Run.State.CANCELLED)
            return True
        return bool(rows.filter(state=Run.State.RUNNING).update(state=Run.State.CANCELLING))


def requeue(run: Run) -> None:
    """Queues a failed or cancelled run again, with its unfinished stages."""
    over = (Run.State.FAILED, Run.State.CANCELLED)
    again = {"state": Run.State.QUEUED, "attempt": 0, "error": "", "ended_at": None}
    with transaction.atomic():
        Run.objects.filter(parent_id=run.pk, state__in=over).update(**again)
        Run.objects.filter(pk=run.pk, state__in=over).update(**again, lease_until=later(NUDGE_AFTER))


def take_over_silent() -> list[int]:
    """Queues runs again whose supervisor went silent, or ends them where they were being cancelled or their attempts
    are used up. Returns the ids of all runs that wait for a worker."""
    silent = Run.objects.filter(parent=None, lease_until__lt=Now())
    for run_id, state, attempt in list(silent.values_list("pk", "state", "attempt")):
        if state == Run.State.CANCELLING:
            _end_silent([run_id], Run.State.CANCELLED, "its supervisor died while it was being cancelled")
        elif state == Run.State.RUNNING and attempt >= MAX_ATTEMPTS:
            _end_silent([run_id], Run.State.FAILED, f"its supervisor died {attempt} times")
        elif state == Run.State.RUNNING:
            _end_silent([run_id], Run.State.QUEUED, "its supervisor died")
    due = Run.objects.filter(Q(lease_until=None) | Q(lease_until__lt=Now()), parent=None, state=Run.State.QUEUED)
    waiting = list(due.values_list("pk", flat=True))
    Run.objects.filter(pk__in=waiting, state=Run.State.QUEUED).update(lease_until=later(NUDGE_AFTER))
    return waiting


def _end_silent(run_ids: Iterable[int], state: Run.State, reason: str) -> None:
    """One transaction for a run and its stages; nothing changes where the supervisor renewed meanwhile."""
    ended_at = None if state == Run.State.QUEUED else Now()
    new = {"state": state, "owner": "", "lease_until": None, "error": reason, "ended_at": ended_at}
    with transaction.atomic():
        for run_id in run_ids:
            live = (Run.State.RUNNING, Run.State.CANCELLING)
            if Run.objects.filter(pk=run_id, state__in=live, lease_until__lt=Now()).update(**new):
                Run.objects.filter(parent_id=run_id, state__in=live).update(**new)
