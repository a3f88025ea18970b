"""The directory of a job: copies of its files as they were, and from them the rows that its training reads."""

import contextlib
import os
import random
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from django.conf import settings
from django.utils.translation import gettext as _

from chat.errors import TurnsRefused
from chat.models import Policy
from fine_tuning.data import formats, tokens
from fine_tuning.data.formats import Row
from fine_tuning.data.survey import canonical, digest, emptiness, words
from fine_tuning.errors import SHOWN, NothingThere, Problem, UnfitLines
from fine_tuning.jobs import plan
from fine_tuning.models import DataFile, FineTune

TRAINING, VALIDATION = "training", "validation"
DATA, HELD_OUT = "data.jsonl", "validation.jsonl"


@dataclass
class Counted:
    rows: int = 0
    tokens: int = 0
    unfit: list[Problem] = field(default_factory=list)
    unfit_count: int = 0


def directory_name(job: FineTune) -> str:
    return f"run-{job.id}"


def path_of(job: FineTune) -> Path:
    """Also the directory of its run."""
    return Path(settings.RUNS_DIR) / directory_name(job)


def copy(job: FineTune, training: DataFile, validation: DataFile | None) -> None:
    """The files may be deleted later; a copy by a second name costs nothing where both lie on one disk."""
    directory = path_of(job)
    directory.mkdir(mode=0o700, parents=True)
    for name, file in ((TRAINING, training), (VALIDATION, validation)):
        if file is None:
            continue
        try:
            os.link(file.path, directory / name)
        except OSError:
            shutil.copyfile(file.path, directory / name)


def prepare(job: FineTune) -> tuple[Counted, int]:
    """Writes the rows that are trained on, counted, and those that are held out: how many those are.

    Raises UnfitLines, NothingThere.
    """
    directory, policy = path_of(job), job.base_policy
    kept_back = _chosen(job)
    with _drafts(directory) as (data, held_out):
        given = rows(directory / TRAINING, job.training_file["filename"])
        kept = _write(given, policy, job, data, held_out, kept_back)
        count = len(kept_back)
        if job.validation_file is not None:
            given = rows(directory / VALIDATION, job.validation_file["filename"])
            count = _write(given, policy, job, held_out, param="validation_file").rows
    if not kept.rows:
        raise NothingThere
    if not count:
        (directory / HELD_OUT).unlink()
    return kept, count


def _chosen(job: FineTune) -> frozenset[bytes]:
    """Digests of the rows that are kept from training. Lines that say the same stay on one side."""
    digests: dict[bytes, None] = {}
    for _number, _form, row in rows(path_of(job) / TRAINING, job.training_file["filename"]):
        digests.setdefault(digest(row))
    count = plan.held_out(len(digests), has_validation=job.validation_file is not None, holds_out=not job.is_legacy)
    return frozenset(random.Random(f"{job.seed}/held out").sample(list(digests), count))


@contextlib.contextmanager
def _drafts(directory: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    with (directory / DATA).open("wb") as data, (directory / HELD_OUT).open("wb") as held_out:
        yield data, held_out


def rows(path: Path, filename: str) -> Iterator[tuple[int, str, Row]]:
    for line in formats.lines(path, filename):
        if line.row is not None:
            yield line.number, line.form, line.row


def _write(
    given: Iterable[tuple[int, str, Row]],
    policy: Policy,
    job: FineTune,
    target: IO[bytes],
    aside: IO[bytes] | None = None,
    put_aside: frozenset[bytes] = frozenset(),
    param: str = "training_file",
) -> Counted:
    """Rows as JSON lines, each of those in `put_aside` once into `aside`. Raises UnfitLines."""
    found, count, room, is_aside = Counted(), tokens.counter(policy), tokens.room(policy), set[bytes]()
    for number, form, row in given:
        size, problem = measured(count, number, form, row, room)
        problem = _nothing_in(job, number, form, row) or problem
        if problem is not None:
            found.unfit_count += 1
            found.unfit += [problem] if len(found.unfit) < SHOWN else []
        elif aside is not None and (name := digest(row)) in put_aside:
            if name not in is_aside:
                aside.write(canonical(row) + b"\n")
            is_aside.add(name)
        else:
            found.rows, found.tokens = found.rows + 1, found.tokens + size
            target.write(canonical(row) + b"\n")
    if found.unfit:
        raise UnfitLines(found.unfit, found.unfit_count, param)
    return found


def _nothing_in(job: FineTune, number: int, form: str, row: Row) -> Problem | None:
    """Why a line teaches nothing, if so."""
    code = emptiness(form, row) if job.method != FineTune.Method.REINFORCEMENT else None
    return Problem(number, code, words(code)) if code is not None else None


def measured(count: tokens.Counter, number: int, form: str, row: Row, room: int) -> tuple[int, Problem | None]:
    """A line's tokens, and why the model cannot read it, or not whole, if so."""
    try:
        size = count(form, row)
    except TurnsRefused as error:
        return 0, Problem(number, error.code, str(error.message))
    if size <= room:
        return size, None
    text = _("%(size)d tokens, but the model reads at most %(room)d at once") % {"size": size, "room": room}
    return size, Problem(number, "over_long", text)


def tidy(job: FineTune) -> None:
    """Removes what only a training needs: people's lines, and checkpoints. Figures and the log stay."""
    directory = path_of(job)
    for name in (TRAINING, VALIDATION, DATA, HELD_OUT):
        (directory / name).unlink(missing_ok=True)
    for left in directory.glob("checkpoint*"):
        shutil.rmtree(left, ignore_errors=True)


def remove(job: FineTune) -> None:
    shutil.rmtree(path_of(job), ignore_errors=True)


def described(file: DataFile) -> dict[str, object]:
    """The file's object as it is now, kept with the job."""
    return {
        "id": file.id,
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        "filename": file.filename,
        "purpose": file.purpose,
        "form": file.form,
        "lines": file.lines,
        "sha256": file.sha256,
    }
