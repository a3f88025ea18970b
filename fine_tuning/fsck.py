"""Consistency checks of training files and jobs: database against disk (settings.FSCK)."""

import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db.models import Count, F, Max

from base import shared_state
from base.fsck import Check
from fine_tuning.jobs import job_directory
from fine_tuning.models import DataFile, FineTune
from metering.models import Usage

FRESH_S = 3600.0


def files_have_rows() -> Iterator[str]:
    """And rows have files; uploads of the last hour may still be under way."""
    known = dict(DataFile.objects.values_list("id", "bytes"))
    there = {path.name: path.stat() for path in Path(settings.UPLOADS_DIR).iterdir() if path.is_file()}
    for name in sorted(set(known) - set(there)):
        if not shared_state.exists(Path(settings.UPLOADS_DIR) / name):
            yield f"{name} has a row but no file"
    for name in sorted(set(there) - set(known)):
        if time.time() - there[name].st_mtime > FRESH_S or not name.startswith("tmp-"):
            yield f"{settings.UPLOADS_DIR}/{name} has no row"
    for name in sorted(set(known) & set(there)):
        if known[name] != there[name].st_size:
            yield f"{name} has {there[name].st_size} bytes, its row says {known[name]}"


def lines_leave_the_shared_state() -> Iterator[str]:
    """Tidying looks for those of the jobs that ended lately (job_directory.REMOVED_FOR)."""
    for path in job_directory.left_in_storage():
        yield f"{shared_state.key_of(path)} is in the shared state, but its job is over: manage.py tidy_host"


def events_have_no_gaps() -> Iterator[str]:
    counted = FineTune.objects.annotate(count=Count("events"), newest=Max("events__seq"))
    for job in counted.exclude(count=F("newest")):
        yield f"{job.id}: {job.count} events, the last has the number {job.newest}"


def jobs_match_their_runs() -> Iterator[str]:
    for job in FineTune.objects.filter(state=FineTune.State.SUCCEEDED).select_related("policy", "run"):
        if job.policy is None or job.policy.label != job.fine_tuned_model:
            yield f"{job.id} succeeded, but its model does not exist"
        if job.run is not None and job.run.state != "succeeded":
            yield f"{job.id} succeeded, but its run is {job.run.state}"
        if not job.events.filter(mark="succeeded").exists():
            yield f"{job.id} succeeded, but has no event that says so"
    running = FineTune.objects.filter(state=FineTune.State.RUNNING).count()
    if running > 1:
        yield f"{running} fine-tunes are marked as training at the same time"


def trainings_are_billed() -> Iterator[str]:
    billed = dict(Usage.objects.filter(ref__startswith="fine_tune:").values_list("ref", "trained_tokens"))
    for job in FineTune.objects.filter(state=FineTune.State.SUCCEEDED):
        if billed.get(f"fine_tune:{job.id}") != job.trained_tokens:
            yield f"{job.id} trained {job.trained_tokens} tokens, its bill says {billed.get(f'fine_tune:{job.id}')}"


CHECKS: tuple[Check, ...] = (
    (9, files_have_rows),
    (9, lines_leave_the_shared_state),
    (10, events_have_no_gaps),
    (10, jobs_match_their_runs),
    (10, trainings_are_billed),
)
"""With the number of the promise that each check belongs to: leftovers (9), jobs and their events (10)."""
