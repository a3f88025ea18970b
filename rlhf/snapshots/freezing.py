"""Freezes feedback into a snapshot: files that never change, named by a hash over their content."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from base import shared_state
from base.shared_index import PublishedIndex
from feedback import trainable
from feedback.trust import assessment
from rlhf.errors import NotEnoughFeedback
from rlhf.models import Run, Snapshot, Source
from rlhf.snapshots import withdrawals
from rlhf.snapshots.frozen_row import Line
from rlhf.snapshots.rows import Frozen
from rlhf.snapshots.tally import tally

MANIFEST = "manifest.json"


def freeze(until: datetime | None = None) -> Snapshot:
    """Writes all feedback before `until` (now) that may train. The same feedback gives the same snapshot.

    Raises NotEnoughFeedback.
    """
    until = until or timezone.now()
    assessment.assess()
    frozen = Frozen(until)
    _refuse_too_little(frozen)
    folder = Path(settings.RUNS_DIR) / "snapshots"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix="tmp-", dir=folder))
    try:
        sha256 = _write(draft, frozen.files(), {"empty": frozen.empty_files(), "counts": tally(frozen, until)})
        known = Snapshot.objects.filter(sha256=sha256).first()
        if known is not None and known.erased_at is None and not problems(known):
            return known
        target = folder / sha256[:20]
        shutil.rmtree(target, ignore_errors=True)  # of a writer that died, or damaged since
        os.replace(draft, target)
        shared_state.publish(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    made = _row_of(frozen, sha256, f"snapshots/{sha256[:20]}", until)
    if late := trainable.withdrawn(frozen.conversations()):  # consent withdrawn while it was written
        with transaction.atomic():
            withdrawals.take_out(late)
        return freeze(until)
    return made


def _refuse_too_little(frozen: Frozen) -> None:
    needed = settings.RLHF_MINIMUM_RANKINGS
    usable = frozen.rankings_of("train") if frozen.comparisons("train") else 0
    if usable < needed:
        raise NotEnoughFeedback(usable, needed)


def _write(directory: Path, files: dict[str, list[Line]], about: Mapping[str, Any]) -> str:
    """Writes the files, the manifest last; returns the hash over all of them. `about` stands in the manifest."""
    hashes = {}
    for name, lines in files.items():
        content = _encoded(name, lines)
        with (directory / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        hashes[name] = hashlib.sha256(content).hexdigest()
    sha256 = _combined(hashes)
    manifest = {"format": 1, "sha256": sha256, "files": hashes, **about}
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=1))
    return sha256


def _encoded(name: str, lines: list[Line]) -> bytes:
    if name.endswith(".json"):
        return json.dumps(lines, ensure_ascii=False, indent=1).encode(errors="replace")
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode(errors="replace")


def _combined(hashes: dict[str, str]) -> str:
    return hashlib.sha256("".join(f"{name} {hashes[name]}\n" for name in sorted(hashes)).encode()).hexdigest()


def _row_of(frozen: Frozen, sha256: str, directory: str, until: datetime) -> Snapshot:
    fields = {
        "directory": directory,
        "rankings": len(frozen.rankings),
        "comparisons": len(frozen.preferences),
        "held_out": frozen.own_comparisons("held_out"),
        "flags": len(frozen.violations),
        "prompts": len(frozen.prompts),
        "simulated": sum(line["simulated"] for line in frozen.rankings),
        "imported": sum(bool(line["imported_from"]) for line in frozen.rankings),
        "simulated_only": frozen.is_simulated_only(),
        "until": until,
        "ranking_ids": [entry.row.pk for entry in frozen.ranked],
        "comparison_ids": [entry.row.pk for entry in frozen.chosen],
        "annotators": frozen.annotators(),
        "left_out": frozen.left_out,
        "rankings_left_out": frozen.rankings_left_out,
        "comparisons_left_out": frozen.comparisons_left_out,
    }
    with transaction.atomic():
        made = Snapshot.objects.get_or_create(sha256=sha256, defaults=fields)[0]
        Source.objects.bulk_create(
            [Source(snapshot=made, conversation_id=used) for used in sorted(frozen.conversations())],
            ignore_conflicts=True,
        )
    return made


def problems(snapshot: Snapshot) -> list[str]:
    """What changed of a snapshot's files since it was frozen. Of an erased one, no file may be left."""
    if snapshot.erased_at is not None:
        is_there = snapshot.path.exists() or shared_state.is_stored(snapshot.path)
        return [f"snapshot {snapshot.pk}: erased, but {snapshot.path} is there"] if is_there else []
    try:
        expected = json.loads(shared_state.read(snapshot.path, MANIFEST))["files"]
        found = _hashes(snapshot.path, list(expected))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"snapshot {snapshot.pk}: {error}"]
    changed = [f"snapshot {snapshot.pk}: {name} changed" for name in expected if found[name] != expected[name]]
    if not changed and _combined(found) != snapshot.sha256:
        changed.append(f"snapshot {snapshot.pk}: its files are not those that were frozen")
    return changed


def remove_erased(older_than_s: float = 3600.0) -> None:
    """Removes this host's copies of snapshots whose words were erased, the results that quote them, what broken
    fetches left, and what the shared state has without a row: it was away when they were erased, or a freeze broke
    off."""
    for snapshot in Snapshot.objects.exclude(erased_at=None):
        shutil.rmtree(snapshot.path, ignore_errors=True)
    for run in Run.objects.exclude(snapshot__erased_at=None).exclude(snapshot=None).iterator():
        (run.path / "result.json").unlink(missing_ok=True)  # the rows have the figures
    shared_state.remove_drafts(Path(settings.RUNS_DIR) / "snapshots")
    for folder in Path(settings.RUNS_DIR).glob("run-*"):
        shared_state.remove_drafts(folder)
    kept = {Path(name).name for name in Snapshot.objects.filter(erased_at=None).values_list("directory", flat=True)}
    for path in shared_state.stored_in(Path(settings.RUNS_DIR) / "snapshots"):
        if path.name not in kept and shared_state.stored_for_s(path) > older_than_s:
            shared_state.remove(path)


def is_as_frozen(snapshot: Snapshot, published: PublishedIndex) -> bool:
    """Whether a list of what was published names the content that was frozen."""
    files = {name: entry.sha256 for name, entry in published.files.items() if name != MANIFEST}
    return _combined(files) == snapshot.sha256


def _hashes(path: Path, names: list[str]) -> dict[str, str]:
    """Of the files here; of a snapshot that is only in the shared state, those that a pull is held to."""
    if path.is_dir() or (shared := shared_state.published(path)) is None:
        return {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in names}
    return {name: shared.files[name].sha256 for name in names}


def rankings_now(split: str) -> int:
    """Rankings, choices in the chat among them, that a snapshot would hold of a side; near-duplicates included."""
    ranked, chosen = trainable.rankings(), trainable.comparisons()
    return ranked.filter(task__prompt__split=split).count() + chosen.filter(split=split).count()


def fresh_rankings(annotator: User | None = None) -> int:
    """Rankings, choices in the chat among them, that may train and were not considered for the snapshot of the last
    cycle, however that ended; of all people, or of one."""
    last = Run.objects.filter(kind=Run.Kind.CYCLE).exclude(snapshot=None).first()
    before = last.snapshot if last is not None else None
    seen: tuple[set[int], set[int]] = (set(), set())
    if before is not None:
        seen = (
            {*before.ranking_ids, *before.rankings_left_out},
            {*before.comparison_ids, *before.comparisons_left_out},
        )
    whose = {} if annotator is None else {"annotator": annotator}
    now = (trainable.rankings().filter(**whose), trainable.comparisons().filter(**whose))
    return sum(len(set(rows.values_list("pk", flat=True)) - known) for rows, known in zip(now, seen, strict=True))
