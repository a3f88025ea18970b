"""The directory of a job: copies of its files, and the rows for training and validation made from them."""

import contextlib
import os
import random
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from base import shared_state
from chat.errors import TurnsRefused
from chat.models import Policy
from fine_tuning.data import formats, tokens
from fine_tuning.data.formats import Row
from fine_tuning.data.survey import canonical_json, empty_problem, row_digest
from fine_tuning.errors import LineProblem, NothingThere, ProblemList, UnfitLines
from fine_tuning.jobs import plan
from fine_tuning.models import DataFile, FineTune
from rlhf.runs.child_process import LOG

TRAINING, VALIDATION = "training", "validation"
DATA, HELD_OUT = "data.jsonl", "validation.jsonl"
LINES = (TRAINING, VALIDATION, DATA, HELD_OUT)
"""Files with people's own lines."""


DONE = (FineTune.State.SUCCEEDED, FineTune.State.CANCELLED)
"""Nothing resumes a job in these states."""
EVER = datetime.min.replace(tzinfo=UTC)
REMOVED_FOR = timedelta(days=30)
"""How long tidying looks whether the shared state still has lines of a job that is over."""


@dataclass
class RowCount:
    rows: int = 0
    tokens: int = 0
    unfit: ProblemList = field(default_factory=ProblemList)
    """Lines that teach nothing, or that the model cannot read whole."""


def directory_name(job: FineTune) -> str:
    return f"run-{job.id}"


def path_of(job: FineTune) -> Path:
    """The job's run has the same directory."""
    return Path(settings.RUNS_DIR) / directory_name(job)


def copy(job: FineTune, training: DataFile, validation: DataFile | None) -> None:
    """Copies the files, since they may be deleted later; by hard links where they are on the same disk."""
    directory = path_of(job)
    directory.mkdir(mode=0o700, parents=True)
    for name, file in ((TRAINING, training), (VALIDATION, validation)):
        if file is None:
            continue
        source = file.fetched()
        try:
            os.link(source, directory / name)
        except OSError:
            shutil.copyfile(source, directory / name)
        shared_state.publish(directory / name)


def prepare(job: FineTune) -> tuple[RowCount, int]:
    """Writes the rows that are trained on and those that are held out; counts both.

    Raises UnfitLines, NothingThere.
    """
    directory, policy = path_of(job), job.base_policy
    for name in (TRAINING, VALIDATION) if job.validation_file is not None else (TRAINING,):
        shared_state.pull(directory / name)
    held_out_rows = _choose_held_out(job)
    with _drafts(directory) as (data, held_out):
        rows = _rows_in(directory / TRAINING, job.training_file["filename"])
        trained = _write(rows, policy, job, data, held_out, held_out_rows)
        count = len(held_out_rows)
        if job.validation_file is not None:
            rows = _rows_in(directory / VALIDATION, job.validation_file["filename"])
            count = _write(rows, policy, job, held_out, param="validation_file").rows
    if not trained.rows:
        raise NothingThere
    if not count:
        (directory / HELD_OUT).unlink()
    for name in (DATA, HELD_OUT) if count else (DATA,):
        shared_state.publish(directory / name)
    return trained, count


def rows_of(job: FineTune) -> tuple[Path, Path | None]:
    """The rows that are trained on and those that are held out, if any, on this host. Raises OSError."""
    data, held_out = path_of(job) / DATA, path_of(job) / HELD_OUT
    shared_state.pull(data)
    return data, shared_state.pull(held_out) if shared_state.exists(held_out) else None


def has_rows(job: FineTune) -> bool:
    return shared_state.exists(path_of(job) / DATA)


def _choose_held_out(job: FineTune) -> frozenset[bytes]:
    """Digests of the rows that are held out. Duplicate rows stay on one side."""
    digests: dict[bytes, None] = {}
    for _number, _form, row in _rows_in(path_of(job) / TRAINING, job.training_file["filename"]):
        digests.setdefault(row_digest(row))
    count = plan.held_out_count(
        len(digests), has_validation=job.validation_file is not None, holds_out=not job.is_legacy
    )
    return frozenset(random.Random(f"{job.seed}/held out").sample(list(digests), count))


@contextlib.contextmanager
def _drafts(directory: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    with (directory / DATA).open("wb") as data, (directory / HELD_OUT).open("wb") as held_out:
        yield data, held_out


def _rows_in(path: Path, filename: str) -> Iterator[tuple[int, str, Row]]:
    for line in formats.lines(path, filename):
        if line.row is not None:
            yield line.number, line.form, line.row


def _write(
    rows: Iterable[tuple[int, str, Row]],
    policy: Policy,
    job: FineTune,
    target: IO[bytes],
    held_out: IO[bytes] | None = None,
    held_out_rows: frozenset[bytes] = frozenset(),
    param: str = "training_file",
) -> RowCount:
    """Writes rows as JSON lines; each row of `held_out_rows` goes into `held_out`, once. Raises UnfitLines."""
    found, count, most, written = RowCount(), tokens.counter(policy), tokens.max_row_tokens(policy), set[bytes]()
    for number, form, row in rows:
        size, problem = measure(count, number, form, row, most)
        problem = _empty_problem(job, number, form, row) or problem
        if problem is not None:
            found.unfit.add(problem)
        elif held_out is not None and (digest := row_digest(row)) in held_out_rows:
            if digest not in written:
                held_out.write(canonical_json(row) + b"\n")
            written.add(digest)
        else:
            found.rows, found.tokens = found.rows + 1, found.tokens + size
            target.write(canonical_json(row) + b"\n")
    if found.unfit:
        raise UnfitLines(found.unfit, found.unfit.total, param)
    return found


def _empty_problem(job: FineTune, number: int, form: str, row: Row) -> LineProblem | None:
    """Why a line teaches nothing, if so; reinforcement needs no completions."""
    return empty_problem(number, form, row) if job.method != FineTune.Method.REINFORCEMENT else None


def measure(
    count: tokens.TokenCounter, number: int, form: str, row: Row, most: int
) -> tuple[int, LineProblem | None]:
    """A line's tokens, and why the model cannot read all of it, if so."""
    try:
        size = count(form, row)
    except TurnsRefused as error:
        return 0, LineProblem(number, error.code, str(error.message))
    if size <= most:
        return size, None
    text = _("%(size)d tokens, but the model reads at most %(room)d at once") % {"size": size, "room": most}
    return size, LineProblem(number, "over_long", text)


def tidy(job: FineTune) -> None:
    """Removes what only training needs: people's lines, and checkpoints. Metrics and the log stay."""
    directory = path_of(job)
    for name in LINES:
        shared_state.remove(directory / name)
    for checkpoint in directory.glob("checkpoint*"):
        shutil.rmtree(checkpoint, ignore_errors=True)


def everything(job: FineTune) -> list[Path]:
    """What is there of a job, each to be removed by itself: hosts share the files, and not the directory."""
    directory = path_of(job)
    return [*(directory / name for name in (*LINES, LOG)), directory]


def remove(job: FineTune) -> None:
    for path in everything(job):
        shared_state.remove(path)


def remove_strays(older_than_s: float = 3600.0) -> None:
    """Removes people's lines of jobs that are over, and directories of jobs that were deleted: from this host, and
    from the shared state, which was away then."""
    jobs = {directory_name(job): job for job in FineTune.objects.all()}
    for directory in Path(settings.RUNS_DIR).glob("run-ftjob-*"):
        job = jobs.get(directory.name)
        if job is None and time.time() - directory.stat().st_mtime > older_than_s:
            shutil.rmtree(directory, ignore_errors=True)
        elif job is not None and job.state in DONE:
            for name in LINES:
                (directory / name).unlink(missing_ok=True)
    for path in left_in_storage(older_than_s, done_since=timezone.now() - REMOVED_FOR):
        shared_state.remove(path)


def left_in_storage(older_than_s: float = 3600.0, *, done_since: datetime = EVER) -> Iterator[Path]:
    """What the shared state still has of deleted jobs, and the lines of those that nothing resumes. Raises
    StateAway."""
    jobs = {directory_name(job): job for job in FineTune.objects.all()}
    for directory in shared_state.stored_in(Path(settings.RUNS_DIR)):
        job = jobs.get(directory.name)
        if job is None and directory.name.startswith("run-ftjob-"):
            stored = shared_state.stored_in(directory)
            yield from (path for path in stored if shared_state.stored_for_s(path) > older_than_s)
        elif job is not None and job.state in DONE and (job.finished_at or done_since) >= done_since:
            yield from (directory / name for name in LINES if shared_state.is_stored(directory / name))


def describe(file: DataFile) -> dict[str, object]:
    """The file's object as it is now, as FineTune.training_file stores it."""
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
