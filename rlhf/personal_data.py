"""Training's part of personal data: what is exported, and what is erased when a person leaves.

Files of a snapshot with their words are removed; its row stays, with the hash, as the record of what a policy
was trained on. Who started a run or promoted a policy stays, under the made-up name of the account.
"""

import json
import os
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.personal import NotYet, Table
from base import shared_state
from chat.models import Message
from rlhf.models import Evaluation, Run, Snapshot
from rlhf.runs import comparing
from rlhf.snapshots import withdrawals

EXPORT = (Table("rlhf.Source", "conversation__owner"),)
EXCLUDED = {
    "rlhf.Run": "the site's own record of training, whoever started it",
    "rlhf.Metric": "figures of a run",
    "rlhf.Evaluation": "figures of a policy",
    "rlhf.Decision": "what the gate said of a policy",
    "rlhf.Canary": "figures of a policy, over all people",
    "rlhf.Promotion": "the site's own record of which policy answered when",
}


def forget_conversations(ids: Collection[UUID]) -> None:
    """Removes snapshots that contain them, and quotes of them in reports. NotYet while a run trains on one."""
    snapshots = Snapshot.objects.filter(sources__conversation__in=ids, erased_at=None).distinct()
    runs = list(Run.objects.filter(snapshot__in=list(snapshots)))
    if any(run.state in Run.WORKING for run in runs):  # one that waits for people has done its training
        raise NotYet("a run is training on a snapshot that holds words of theirs")
    texts = set(Message.objects.filter(conversation__in=ids).exclude(text="").values_list("text", flat=True))
    for evaluation in Evaluation.objects.filter(run__in=runs):
        evaluation.report = _without_quotes(evaluation.report, texts)
        evaluation.save(update_fields=["report"])
    results = [run.path / "result.json" for run in runs]
    for run in runs:
        run.result = _without_quotes(run.result, texts)
        run.save(update_fields=["result"])
    erased = list(snapshots)
    folders = [snapshot.path for snapshot in erased]
    Snapshot.objects.filter(pk__in=[snapshot.pk for snapshot in erased]).update(erased_at=timezone.now())
    pairs = [run.path / comparing.PAIRS for run in runs]
    transaction.on_commit(partial(_remove_files, folders, results, texts, pairs), robust=True)


def forget_person(person: User) -> None:
    forget_conversations(list(person.conversations.values_list("pk", flat=True)))


def withdraw_conversations(ids: Collection[UUID]) -> None:
    withdrawals.take_out(ids)


def withdraw_person(person: User) -> None:
    withdrawals.take_out(list(person.conversations.values_list("pk", flat=True)))


def _without_quotes(report: Mapping[str, Any], texts: Collection[str]) -> dict[str, Any]:
    """The report without the rows of its tables of replies whose prompt is one of the texts."""
    tables = {name: report[name] for name in ("samples", "worst") if isinstance(report.get(name), list)}
    kept = {name: [row for row in rows if row.get("prompt") not in texts] for name, rows in tables.items()}
    return {**report, **kept}


def _remove_files(
    folders: Collection[Path], results: Collection[Path], texts: Collection[str], pairs: Collection[Path]
) -> None:
    """After the commit: a crash in between leaves files of a snapshot marked as erased, which fsck reports."""
    for folder in folders:
        shared_state.remove(folder)
    for left in pairs:
        shared_state.remove(left)
    for result in results:
        if result.exists():
            _remove_quotes(result, texts)


def _remove_quotes(result: Path, texts: Collection[str]) -> None:
    """What cannot be read is removed as a whole; the row has the figures."""
    try:
        kept = _without_quotes(json.loads(result.read_text()), texts)
    except (ValueError, AttributeError):
        result.unlink()
        return
    draft = result.with_suffix(".tmp")
    draft.write_text(json.dumps(kept))
    os.replace(draft, result)
