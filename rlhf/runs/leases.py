"""Who drives a run: a lease in the run's own row, taken, renewed and given back by conditional updates.

Every moment here is the database's, so two machines whose clocks differ cannot both believe that they hold it.
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
"""Starts of a run that get it no further, until a person asks for one more."""
NUDGE_AFTER = timedelta(minutes=2)
"""A queued run that nobody took by then is put to the worker once more: messages get lost, rows do not."""


def new_owner() -> str:
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"


def later(delta: timedelta) -> Combinable:
    return ExpressionWrapper(Now() + Value(delta, DurationField()), output_field=DateTimeField())


def claim(run_id: int, owner: str) -> Run | None:
    """Takes a queued run, or a running one whose supervisor has gone silent. None where another has it, where it
    is over, or where it was started often enough."""
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
    held = [run.pk] if run.parent_id is None else [run.pk, run.parent_id]
    mine = Run.objects.filter(pk__in=held, owner=owner, state__in=(Run.State.RUNNING, Run.State.CANCELLING))
    if mine.update(lease_until=later(settings.RLHF_LEASE), **fields) != len(held):
        raise LeaseLost(run.pk)
    return mine.filter(state=Run.State.CANCELLING).exists()


def put_back(run: Run, owner: str, reason: str, *, got_on: bool = False) -> None:
    """Gives the run up for whoever takes it next, at once; if it got on, its starts are counted anew."""
    counted = {"attempt": 0} if got_on else {}
    Run.objects.filter(pk=run.pk, owner=owner).update(
        state=Run.State.QUEUED, owner="", lease_until=None, pid=None, error=reason, **counted
    )


def end(run: Run, owner: str, state: Run.State, **fields: Any) -> None:
    ended = Run.objects.filter(pk=run.pk, owner=owner).update(
        state=state, owner="", lease_until=None, pid=None, ended_at=Now(), **fields
    )
    if not ended:
        raise LeaseLost(run.pk)


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
    """Asks for an end with a checkpoint; a run that nobody drives yet ends at once. False where it is over."""
    with transaction.atomic():
        rows = Run.objects.filter(pk=run.pk)
        if rows.filter(state=Run.State.QUEUED).update(state=Run.State.CANCELLED, ended_at=Now(), lease_until=None):
            Run.objects.filter(parent_id=run.pk, state=Run.State.QUEUED).update(state=Run.State.CANCELLED)
            return True
        return bool(rows.filter(state=Run.State.RUNNING).update(state=Run.State.CANCELLING))


def requeue(run: Run) -> None:
    """Sets a run that failed or was cancelled on its way again, with its unfinished stages."""
    over = (Run.State.FAILED, Run.State.CANCELLED)
    again = {"state": Run.State.QUEUED, "attempt": 0, "error": "", "ended_at": None}
    with transaction.atomic():
        Run.objects.filter(parent_id=run.pk, state__in=over).update(**again)
        Run.objects.filter(pk=run.pk, state__in=over).update(**again, lease_until=later(NUDGE_AFTER))


def take_over_silent() -> list[int]:
    """Puts runs whose supervisor went silent back into the queue, or ends them where that was asked for or was
    done often enough. Returns the ids of all that wait for a worker."""
    silent = Run.objects.filter(parent=None, lease_until__lt=Now())
    for run_id, state, attempt in list(silent.values_list("pk", "state", "attempt")):
        if state == Run.State.CANCELLING:
            _settle_silent([run_id], Run.State.CANCELLED, "its supervisor died while it was being cancelled")
        elif state == Run.State.RUNNING and attempt >= MAX_ATTEMPTS:
            _settle_silent([run_id], Run.State.FAILED, f"its supervisor died {attempt} times")
        elif state == Run.State.RUNNING:
            _settle_silent([run_id], Run.State.QUEUED, "its supervisor died")
    due = Run.objects.filter(Q(lease_until=None) | Q(lease_until__lt=Now()), parent=None, state=Run.State.QUEUED)
    waiting = list(due.values_list("pk", flat=True))
    Run.objects.filter(pk__in=waiting, state=Run.State.QUEUED).update(lease_until=later(NUDGE_AFTER))
    return waiting


def _settle_silent(run_ids: Iterable[int], state: Run.State, reason: str) -> None:
    """One transaction for a run and its stages; a supervisor that renewed meanwhile keeps both."""
    ended_at = None if state == Run.State.QUEUED else Now()
    new = {"state": state, "owner": "", "lease_until": None, "error": reason, "ended_at": ended_at}
    with transaction.atomic():
        for run_id in run_ids:
            live = (Run.State.RUNNING, Run.State.CANCELLING)
            if Run.objects.filter(pk=run_id, state__in=live, lease_until__lt=Now()).update(**new):
                Run.objects.filter(parent_id=run_id, state__in=live).update(**new)
