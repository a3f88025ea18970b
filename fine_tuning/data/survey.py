"""A first reading of a file: what its lines are, which of them cannot be used, which a person should look at."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from fine_tuning.data import formats
from fine_tuning.data.formats import MESSAGES, PROMPT_COMPLETION, Line, Row
from fine_tuning.errors import SHOWN, BadFile, NothingThere, Problem

EMPTY, UNANSWERED, DUPLICATE = "empty", "unanswered", "duplicate"


@dataclass
class Survey:
    """Of a file whose lines can all be used."""

    form: str = ""
    lines: int = 0
    notes: list[Problem] = field(default_factory=list)
    """The first lines that teach nothing (empty, unanswered) or nothing new (duplicate)."""
    noted: int = 0


def survey(path: Path, filename: str) -> Survey:
    """Raises BadFile, which tells the first bad lines, and NothingThere."""
    found, bad, bad_count = Survey(), list[Problem](), 0
    for line in _whole(formats.lines(path, filename), found):
        if line.problem is not None:
            bad_count += 1
            bad += [line.problem] if len(bad) < SHOWN else []
    if bad:
        raise BadFile(bad, bad_count)
    if not found.lines:
        raise NothingThere
    return found


def _whole(lines: Iterable[Line], found: Survey) -> Iterator[Line]:
    """The lines; those of another form than the first become problems. `found` is filled on the way."""
    seen: dict[bytes, int] = {}
    for line in lines:
        if line.row is None:
            yield line
            continue
        found.form = found.form or line.form
        if line.form != found.form:
            text = _("its format is %(form)s, but the lines before it are %(wanted)s")
            text %= {"form": line.form, "wanted": found.form}
            yield Line(line.number, problem=Problem(line.number, "other_form", text))
            continue
        found.lines += 1
        for note in _notes_of(line, seen):
            found.noted += 1
            found.notes += [note] if len(found.notes) < SHOWN else []
        yield line


def _notes_of(line: Line, seen: dict[bytes, int]) -> Iterator[Problem]:
    """What a person should know of a line; `seen` grows with it."""
    assert line.row is not None
    if (code := emptiness(line.form, line.row)) is not None:
        yield Problem(line.number, code, words(code))
    name = digest(line.row)
    if name in seen:
        yield Problem(line.number, DUPLICATE, _("the same as line %(first)d") % {"first": seen[name]})
    else:
        seen[name] = line.number


def emptiness(form: str, row: Row) -> str | None:
    """Why there is nothing to learn from a row, if so."""
    if form == PROMPT_COMPLETION and not row["completion"].strip():
        return EMPTY
    if form == MESSAGES:
        answers = [turn["content"] for turn in row["messages"] if turn["role"] == "assistant"]
        return UNANSWERED if not answers else EMPTY if not any(map(str.strip, answers)) else None
    return None


def words(code: str) -> str:
    return _("the completion is empty") if code == EMPTY else _("no assistant message in it")


def canonical(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False, sort_keys=True).encode()


def digest(row: Row) -> bytes:
    return hashlib.sha256(canonical(row)).digest()[:16]


def stored(notes: Iterable[Problem]) -> list[dict[str, Any]]:
    return [{"line": note.line, "code": note.code, "text": note.text} for note in notes]
