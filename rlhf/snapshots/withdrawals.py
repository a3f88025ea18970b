"""Withdrawn consent: takes texts out of snapshots that nothing was trained on, and marks the others."""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from base import shared_state
from rlhf.errors import SnapshotErased, SnapshotWithdrawn
from rlhf.models import Run, Snapshot, Source

TRAINED = Q(state__in=(Run.State.RUNNING, Run.State.CANCELLING, Run.State.WAITING, Run.State.SUCCEEDED))
"""Runs that learn from their snapshot or have done so. One that failed has made nothing, and one that is queued
begins with another snapshot (rlhf.runs.cycle)."""


LEARNING = (Run.Kind.CYCLE, Run.Kind.REWARD_MODEL, Run.Kind.POLICY)


def _trained_on() -> QuerySet[Snapshot]:
    stages = Run.objects.filter(TRAINED, snapshot=OuterRef("pk"))
    return Snapshot.objects.filter(Exists(stages))


def take_out(ids: Collection[UUID]) -> None:
    """Removes snapshots with texts of these conversations, and marks in the others that consent was withdrawn.

    A snapshot never changes: the whole of one that was not trained on goes, and the next freeze makes one without
    these texts. Must run in the transaction of the withdrawal.
    """
    affected = Source.objects.filter(conversation__in=ids, snapshot__erased_at=None)
    trained = _trained_on().values("pk")
    affected.filter(snapshot__in=trained, withdrawn_at=None).update(withdrawn_at=timezone.now())
    fresh = list(Snapshot.objects.filter(pk__in=affected.exclude(snapshot__in=trained).values("snapshot")))
    Snapshot.objects.filter(pk__in=[one.pk for one in fresh]).update(erased_at=timezone.now())
    transaction.on_commit(partial(_remove, [one.path for one in fresh]), robust=True)


def _remove(folders: Collection[Path]) -> None:
    """After the commit: a crash in between leaves files of a snapshot marked as erased, which fsck reports."""
    for folder in folders:
        shared_state.remove(folder)


def refuse(snapshot: Snapshot | None, kind: str = Run.Kind.CYCLE) -> None:
    """Raises SnapshotErased, SnapshotWithdrawn: no training begins with texts that somebody has taken back."""
    if snapshot is None:
        return
    if snapshot.erased_at is not None:
        raise SnapshotErased(snapshot.pk)
    if kind in LEARNING and snapshot.withdrawn:
        raise SnapshotWithdrawn(snapshot.pk)
