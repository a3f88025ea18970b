"""Imports a file batch by batch: stopped at any moment, the same file goes on from the batch where it was."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts import audit
from accounts.models import User
from feedback.imports import lines, writing
from feedback.imports.errors import AlreadyImported, ImportUnderWay, NothingToImport
from feedback.imports.formats import FORMATS, judgements
from feedback.imports.judgements import Judgement
from feedback.imports.reasons import LeftOut, UnusableLine
from feedback.models import Import, Project

LINES_AT_A_TIME = 100
"""In one transaction, so that people who use the site meanwhile never wait long for the database."""
MOST_LEFT_OUT = 1000
"""As many are listed by line; all are counted."""
Found = tuple[int, list[Judgement | UnusableLine]]
"""(line, what was read from it)"""


def import_file(
    path: Path,
    format_key: str,
    project: Project,
    *,
    name: str,
    by: User | None,
    limit_mb: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Import:
    """Stores what a file holds. It is read once before anything is stored: one that is damaged or in another format
    changes nothing. Raises JudgementImportRefused.
    """
    of_lines = _survey(path, format_key, limit_mb)
    made = _begin(path, format_key, project, name, by)
    found = (one for one in _found(path, format_key, limit_mb) if one[0] > made.lines_done)
    while batch := list(islice(found, LINES_AT_A_TIME)):
        _store(made, batch)
        if on_progress is not None:
            on_progress(made.lines_done, of_lines)
    Import.objects.filter(pk=made.pk, finished_at=None).update(finished_at=timezone.now())
    made.refresh_from_db()
    return made


def _found(path: Path, format_key: str, limit_mb: int) -> Iterator[Found]:
    reader = FORMATS[format_key]
    for number, line in lines.read(path, limit_mb):
        yield number, list(judgements(reader, line))


def _survey(path: Path, format_key: str, limit_mb: int) -> int:
    """The number of lines. Raises NothingToImport if none can be used."""
    usable, last = False, 0
    wrong: list[str] = []
    for number, found in _found(path, format_key, limit_mb):
        last = number
        usable = usable or any(not isinstance(one, UnusableLine) for one in found)
        if len(wrong) < 3:
            wrong += [f"{number}: {one}" for one in found if isinstance(one, UnusableLine)][:1]
    if not usable:
        raise NothingToImport(last, " ".join(wrong))
    return last


@transaction.atomic
def _begin(path: Path, format_key: str, project: Project, name: str, by: User | None) -> Import:
    """The row of this file, with the audit entry of its beginning. Raises AlreadyImported."""
    made, is_new = Import.objects.get_or_create(
        format=format_key,
        sha256=lines.sha256_of(path),
        project=project,
        defaults={"name": name[:200], "created_by": by},
    )
    if made.finished_at is not None:
        raise AlreadyImported(made.pk, made.finished_at)
    if is_new:
        audit.record(
            by, "imports.store", made, after={"format": format_key, "file": made.name, "project": project.key}
        )
    return made


@transaction.atomic
def _store(made: Import, batch: list[Found]) -> None:
    """Raises ImportUnderWay if somebody else has stored it meanwhile."""
    last = batch[-1][0]
    is_ours = Import.objects.filter(pk=made.pk, lines_done=made.lines_done).update(lines_done=last)
    if not is_ours:
        raise ImportUnderWay
    good = [(number, one) for number, found in batch for one in found if not isinstance(one, UnusableLine)]
    stored = writing.store(good, made)
    bad = [
        LeftOut(number, one.reason, one.about)
        for number, found in batch
        for one in found
        if isinstance(one, UnusableLine)
    ]
    left_out = sorted([*bad, *stored.left_out], key=lambda one: one.line)
    Import.objects.filter(pk=made.pk).update(
        rankings=F("rankings") + stored.rankings,
        flags=F("flags") + stored.flags,
        thumbs=F("thumbs") + stored.thumbs,
        demonstrations=F("demonstrations") + stored.demonstrations,
        lines_left_out=F("lines_left_out") + len({one.line for one in left_out}),
        left_out=[*made.left_out, *(one.as_json() for one in left_out)][:MOST_LEFT_OUT],
    )
    made.refresh_from_db()
