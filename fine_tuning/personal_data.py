"""A person's training files and fine-tuned models: their export, and their removal when the person leaves."""

from base64 import b64encode
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.personal import NotYet, Table
from base import shared_state
from base.state_errors import StateDamaged
from chat import policies
from chat.errors import PolicyAway
from chat.models import Policy
from fine_tuning import fine_tuned_models
from fine_tuning.jobs import job_directory, lifecycle
from fine_tuning.models import DataFile, FineTune
from rlhf.lineage import adapter_roots
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
    """Without the content of a large file, which can be downloaded from its page, and of one that is gone."""
    try:
        raw = shared_state.read(file.path) if file.bytes <= MOST_BYTES else None
    except (FileNotFoundError, StateDamaged):
        raw = None
    if raw is None:
        return {"content": None}
    try:
        return {"content": raw.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(raw).decode()}


def forget_conversations(ids: Collection[UUID]) -> None:
    """Nothing to do: training files hold no conversations."""


def forget_person(person: User) -> None:
    """Removes files, jobs and models. A model that a group uses, that is live, or that another's adapter changes,
    stays, under the person's pseudonym. Raises NotYet while one of their jobs is being trained, and while the shared
    state does not tell which models others change."""
    unfinished = person.fine_tunes.exclude(state__in=FineTune.OVER)
    for job in unfinished:
        lifecycle.cancel(job)
    runs = Run.objects.filter(fine_tune__owner=person)
    if any(run.is_live for run in runs):
        raise NotYet("a model of theirs is being trained")
    paths: list[Path] = [file.path for file in person.data_files.all()]
    folders = [path for job in person.fine_tunes.all() for path in job_directory.everything(job)]
    folders += fine_tuned_models.unregistered(runs)
    leaving = Policy.objects.filter(owner=person, group=None, is_live=False, retired_at=None)
    made = leaving.exclude(pk__in=_changed_by_others() if leaving.exists() else ())
    folders += [policies.directory(policy) for policy in made]
    made.update(retired_at=timezone.now(), is_on_trial=False)
    Policy.objects.filter(owner=person, retired_at__isnull=False).update(label="")  # it may hold words of theirs
    runs.update(result={}, progress={})
    person.fine_tunes.all().delete()
    person.data_files.all().delete()
    transaction.on_commit(partial(_remove, paths, folders), robust=True)


def _changed_by_others() -> Collection[int]:
    """Raises NotYet."""
    try:
        return adapter_roots(Policy.objects.filter(retired_at=None, is_scripted=False)).keys()
    except PolicyAway as error:
        raise NotYet(f"whether others change a model of theirs is not known: {error}") from error


def _remove(files: Collection[Path], folders: Collection[Path]) -> None:
    """After the commit: a crash in between leaves files without a row, which fsck reports and a task removes."""
    for path in (*files, *folders):
        shared_state.remove(path)
