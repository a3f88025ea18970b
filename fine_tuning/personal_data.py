"""What is kept of a person's own data and models, and what becomes of them when they leave."""

import shutil
from base64 import b64encode
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.personal import NotYet, Table
from chat import policies
from chat.models import Policy
from fine_tuning.jobs import job_directory, lifecycle
from fine_tuning.models import DataFile, FineTune
from rlhf.models import Run

MOST_BYTES = 8 * 2**20
EXPORT: tuple[Table, ...] = (Table("tuning.DataFile", "owner"), Table("tuning.FineTune", "owner"))
EXCLUDED: dict[str, str] = {
    "tuning.Event": "what tuning.FineTune went through, told again",
    "api.Alias": "names that admins gave to models, whoever made those",
}


def files(person: User) -> Iterator[tuple[str, object]]:
    """What the person brought in, and what their jobs left; a table of another program comes as base64."""
    for file in person.data_files.order_by("created_at", "id"):
        told: dict[str, object] = {"filename": file.filename, "purpose": file.purpose}
        yield f"data/{file.id}.json", told | content_of(file)


def content_of(file: DataFile) -> dict[str, object]:
    """Nothing of a large one: that is downloaded on the page of own data."""
    if file.bytes > MOST_BYTES or not file.path.is_file():
        return {"content": None}
    raw = file.path.read_bytes()
    try:
        return {"content": raw.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(raw).decode()}


def forget_conversations(ids: Collection[UUID]) -> None:
    """Own data is no conversation."""


def forget_person(person: User) -> None:
    """Files, jobs and their models go. A model that a group uses, or that is live, stays, under the made-up name of
    its maker. NotYet while one of their jobs is being trained."""
    unfinished = person.fine_tunes.exclude(state__in=FineTune.OVER)
    for job in unfinished:
        lifecycle.cancel(job)
    runs = Run.objects.filter(fine_tune__owner=person)
    if any(run.is_live for run in runs):
        raise NotYet("a model of theirs is being trained")
    paths: list[Path] = [file.path for file in person.data_files.all()]
    folders = [job_directory.path_of(job) for job in person.fine_tunes.all()]
    made = Policy.objects.filter(owner=person, group=None, is_live=False, retired_at=None)
    folders += [policies.directory(policy) for policy in made]
    made.update(retired_at=timezone.now(), is_on_trial=False)
    Policy.objects.filter(owner=person, retired_at__isnull=False).update(label="")  # it may hold words of theirs
    runs.update(result={}, progress={})
    person.fine_tunes.all().delete()
    person.data_files.all().delete()
    transaction.on_commit(partial(remove, paths, folders))


def remove(files: Collection[Path], folders: Collection[Path]) -> None:
    """After the commit: a crash in between leaves bytes without a row, which fsck tells and the sweep removes."""
    for file in files:
        file.unlink(missing_ok=True)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
