"""Turns the rows of a table into objects, by the column names in its first row."""

from collections.abc import Iterable, Iterator
from datetime import datetime, time
from typing import Any

from django.utils.translation import gettext as _

from fine_tuning.errors import LineProblem

PAIRS, PREFERENCES = ("prompt", "completion"), ("prompt", "chosen", "rejected")


def named_rows(rows: Iterable[tuple[int, list[Any]]]) -> Iterator[tuple[int, Any]]:
    """(number, object or LineProblem) of each row that is not empty; unknown columns are left out."""
    names: list[str] | None = None
    for number, cells in rows:
        if names is None:
            names = [str(cell if cell is not None else "").strip().lower() for cell in cells]
            if not _known_columns(names):
                text = _("the first row must name the columns prompt and completion, or prompt, chosen and rejected")
                yield number, LineProblem(number, "no_columns", text)
                return
        elif any(cell not in (None, "") for cell in cells):
            found = {name: _text_of(cell) for name, cell in zip(names, cells, strict=False)}
            yield number, {name: found.get(name, "") for name in _known_columns(names)}


def _known_columns(names: list[str]) -> tuple[str, ...]:
    return next((columns for columns in (PREFERENCES, PAIRS) if set(columns) <= set(names)), ())


def _text_of(cell: Any) -> str:
    """As a person reads it in the table: a date without its midnight."""
    if isinstance(cell, datetime) and cell.time() == time.min:
        return cell.date().isoformat()
    return "" if cell is None else str(cell)
