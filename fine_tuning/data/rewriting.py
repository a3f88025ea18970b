"""A file prepared: its rows read, changed as somebody chose, and written as new JSONL beside it."""

import json
import random
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from accounts.models import User
from fine_tuning.data import formats, receiving
from fine_tuning.data.formats import Row
from fine_tuning.data.preparing import CLASSIFICATION, Prepared, prepare
from fine_tuning.errors import NothingThere
from fine_tuning.models import DataFile

TRAIN_SHARE, MOST_VALIDATION = 0.8, 1000
"""Of data for classification, as the tool of 2023 parts them."""
SEED = 42


def numbered(path: Path, filename: str) -> list[tuple[int, Row]]:
    """The rows with the numbers of their lines; a file was held to be whole before."""
    return [(line.number, line.row) for line in formats.lines(path, filename) if line.row is not None]


def look(file: DataFile, chosen: Collection[str] | None = None) -> Prepared:
    return prepare(file.form, numbered(file.path, file.filename), chosen)


def is_to_be_split(prepared: Prepared) -> bool:
    return prepared.kind == CLASSIFICATION and len(prepared.rows) > 1


def parts(prepared: Prepared, *, split: bool) -> dict[str, list[Row]]:
    """{what the name gets: rows}. Raises NothingThere."""
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
    prepared = look(file, chosen)
    made = parts(prepared, split=split and is_to_be_split(prepared))
    stem = Path(file.filename).stem
    return [receiving.take(person, f"{stem}{name}.jsonl", encoded(rows)) for name, rows in made.items()]


def encoded(rows: Sequence[Row]) -> Iterator[bytes]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False).encode() + b"\n"
