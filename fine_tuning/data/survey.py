"""Reads an uploaded file once: its form, its number of lines, the unusable ones, and those worth a look."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from fine_tuning.data import formats
from fine_tuning.data.formats import MESSAGES, PROMPT_COMPLETION, FileLine, Row
from fine_tuning.errors import BadFile, LineProblem, NothingThere, ProblemList

EMPTY, UNANSWERED, DUPLICATE = "empty", "unanswered", "duplicate"


@dataclass
class Survey:
    """The result for a file whose lines can all be used."""

    form: str = ""
    lines: int = 0
    notes: ProblemList = field(default_factory=ProblemList)
    """Lines that teach nothing (empty, unanswered) or nothing new (duplicate)."""


def survey(path: Path, filename: str) -> Survey:
    """Raises BadFile, which lists the first bad lines, and NothingThere."""
    found, bad = Survey(), ProblemList()
    for line in _check_forms(formats.lines(path, filename), found):
        if line.problem is not None:
            bad.add(line.problem)
    if bad:
        raise BadFile(bad, bad.total)
    if not found.lines:
        raise NothingThere
    return found


def _check_forms(lines: Iterable[FileLine], found: Survey) -> Iterator[FileLine]:
    """The lines; those of another form than the first become problems. Fills `found` on the way."""
    seen: dict[bytes, int] = {}
    for line in lines:
        if line.row is None:
            yield line
            continue
        found.form = found.form or line.form
        if line.form != found.form:
            text = _("its format is %(form)s, but the lines before it are %(wanted)s")
            text %= {"form": line.form, "wanted": found.form}
            yield FileLine(line.number, problem=LineProblem(line.number, "other_form", text))
            continue
        found.lines += 1
        for note in _notes_of(line, seen):
            found.notes.add(note)
        yield line


def _notes_of(line: FileLine, seen: dict[bytes, int]) -> Iterator[LineProblem]:
    """What a person should know of a line. Adds its digest to `seen`."""
    assert line.row is not None
    if (problem := empty_problem(line.number, line.form, line.row)) is not None:
        yield problem
    digest = row_digest(line.row)
    if digest in seen:
        yield LineProblem(line.number, DUPLICATE, _("the same as line %(first)d") % {"first": seen[digest]})
    else:
        seen[digest] = line.number


def empty_problem(number: int, form: str, row: Row) -> LineProblem | None:
    """Why there is nothing to learn from a line, if so."""
    code = emptiness(form, row)
    return LineProblem(number, code, emptiness_text(code)) if code is not None else None


def emptiness(form: str, row: Row) -> str | None:
    """The code of why there is nothing to learn from a row, if so."""
    if form == PROMPT_COMPLETION and not row["completion"].strip():
        return EMPTY
    if form == MESSAGES:
        answers = [turn["content"] for turn in row["messages"] if turn["role"] == "assistant"]
        return UNANSWERED if not answers else EMPTY if not any(map(str.strip, answers)) else None
    return None


def emptiness_text(code: str) -> str:
    return _("the completion is empty") if code == EMPTY else _("no assistant message in it")


def canonical_json(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False, sort_keys=True).encode()


def row_digest(row: Row) -> bytes:
    return hashlib.sha256(canonical_json(row)).digest()[:16]


def as_json(notes: Iterable[LineProblem]) -> list[dict[str, Any]]:
    """As DataFile.problems stores them."""
    return [{"line": note.line, "code": note.code, "text": note.text} for note in notes]
