"""Applies the chosen preparation steps to a file and saves the result as new JSONL files."""

import json
import random
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from accounts.models import User
from fine_tuning.data import formats, uploads
from fine_tuning.data.formats import Row
from fine_tuning.data.preparing import CLASSIFICATION, Prepared, prepare
from fine_tuning.errors import NothingThere
from fine_tuning.models import DataFile

TRAIN_SHARE, MOST_VALIDATION = 0.8, 1000
"""How the tool of 2023 splits data for classification."""
SEED = 42


def numbered_rows(path: Path, filename: str) -> list[tuple[int, Row]]:
    """The rows with the numbers of their lines; lines without a row are left out."""
    return [(line.number, line.row) for line in formats.lines(path, filename) if line.row is not None]


def preview(file: DataFile, chosen: Collection[str] | None = None) -> Prepared:
    """What preparing would change, without writing anything."""
    return prepare(file.form, numbered_rows(file.fetched(), file.filename), chosen)


def should_split(prepared: Prepared) -> bool:
    return prepared.kind == CLASSIFICATION and len(prepared.rows) > 1


def split_rows(prepared: Prepared, *, split: bool) -> dict[str, list[Row]]:
    """{suffix of the file name: rows}. Raises NothingThere."""
    rows = [row for _number, row in prepared.rows]
    if not rows:
        raise NothingThere
    if not split:
        return {"_prepared": rows}
    count = max(len(rows) - MOST_VALIDATION, int(len(rows) * TRAIN_SHARE))
    places = set(random.Random(SEED).sample(range(len(rows)), count))
    return {
        "_prepared_train": [row for place, row in enumerate(rows) if place in places],
        "_prepared_valid": [row for place, row in enumerate(rows) if place not in places],
    }


def save(person: User, file: DataFile, chosen: Collection[str], *, split: bool) -> list[DataFile]:
    """New files of the person's. Raises TuningError."""
    prepared = preview(file, chosen)
    made = split_rows(prepared, split=split and should_split(prepared))
    stem = Path(file.filename).stem
    return [uploads.store(person, f"{stem}{name}.jsonl", jsonl_lines(rows)) for name, rows in made.items()]


def jsonl_lines(rows: Sequence[Row]) -> Iterator[bytes]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False).encode() + b"\n"
