"""A person's training files and fine-tuned models: their export, and their removal when the person leaves."""

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
    """The person's uploads and their jobs' results; a binary file as base64."""
    for file in person.data_files.order_by("created_at", "id"):
        fields: dict[str, object] = {"filename": file.filename, "purpose": file.purpose}
        yield f"data/{file.id}.json", fields | _content_of(file)


def _content_of(file: DataFile) -> dict[str, object]:
    """Without the content of a large file, which can be downloaded from its page."""
    if file.bytes > MOST_BYTES or not file.path.is_file():
        return {"content": None}
    raw = file.path.read_bytes()
    try:
        return {"content": raw.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(raw).decode()}


def forget_conversations(ids: Collection[UUID]) -> None:
    """Nothing to do: training files hold no conversations."""


def forget_person(person: User) -> None:
    """Removes files, jobs and models. A model that a group uses, or that is live, stays, under the person's
    pseudonym. Raises NotYet while one of their jobs is being trained."""
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
    transaction.on_commit(partial(_remove, paths, folders))


def _remove(files: Collection[Path], folders: Collection[Path]) -> None:
    """After the commit: a crash in between leaves files without a row, which fsck reports and a task removes."""
    for file in files:
        file.unlink(missing_ok=True)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
