"""Writes an export: a folder with its card and a file for each side of the split, a zip of it, or one file."""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.utils import timezone

from rlhf.exports import rows, watching
from rlhf.exports.card import SPLITS, Card
from rlhf.exports.columns import FORMATS, schema
from rlhf.exports.errors import LinesOnly, ParquetUnavailable, WouldOverwrite
from rlhf.exports.watching import WATCHING
from rlhf.snapshots.frozen_row import Line
from rlhf.snapshots.rows import Frozen
from rlhf.snapshots.tally import tally

KINDS = {"jsonl": ".jsonl", "parquet": ".parquet"}
CARD = "README.md"


@dataclass(frozen=True)
class ExportRequest:
    """What to export."""

    format_key: str
    kind: str = "jsonl"
    project: str | None = None
    """The key of one; None: of all."""
    licence: str = ""
    """Empty: that of the settings (CHAMSAE_EXPORT_LICENCE)."""

    @property
    def name(self) -> str:
        return "-".join(["chamsae", *([self.project] if self.project else []), self.format_key])


@dataclass(frozen=True)
class ExportResult:
    counts: Mapping[str, int]
    sha256: Mapping[str, str]
    """Of each file of data."""


def write_folder(folder: Path, wanted: ExportRequest) -> ExportResult:
    """Card and data. Raises ParquetUnavailable, LinesOnly, WouldOverwrite."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WouldOverwrite(str(folder))
    _check(wanted)
    until = timezone.now()
    frozen = Frozen(until)
    if wanted.format_key in WATCHING:
        folder.mkdir(parents=True, exist_ok=True)
        counts, digest = watching.write_with_words(folder, wanted.format_key, frozen, wanted.project)
        return ExportResult(counts, {f"{wanted.format_key}.jsonl": digest})
    found = list(rows.rows(frozen, wanted.format_key, wanted.project))
    folder.mkdir(parents=True, exist_ok=True)
    files = {side: f"{side}{KINDS[wanted.kind]}" for side in SPLITS if any(row["split"] == side for row in found)}
    names = files or {"train": f"train{KINDS[wanted.kind]}"}
    for side, name in names.items():
        _write_file(folder / name, wanted, [row for row in found if row["split"] == side])
    sha256 = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names.values()}
    counts = rows.counted(found)
    card = Card(
        format_key=wanted.format_key,
        title=wanted.name,
        licence=wanted.licence or settings.RLHF_EXPORT_LICENCE,
        made_at=f"{until:%Y-%m-%d}",
        counts=counts,
        languages=tuple(sorted({str(row["language"]) for row in found if row["language"]})),
        sha256=sha256,
        files=files,
        collected=tally(frozen, until),
    )
    (folder / CARD).write_text(card.text(), encoding="utf-8")
    return ExportResult(counts, sha256)


def write_one(path: Path, wanted: ExportRequest) -> ExportResult:
    """One file of data, both sides in it: the column `split` tells them apart. Raises ParquetUnavailable,
    LinesOnly."""
    _check(wanted)
    if wanted.format_key in WATCHING:
        counts, digest = watching.write(path, wanted.format_key, Frozen(timezone.now()), wanted.project)
        return ExportResult(counts, {path.name: digest})
    found = list(rows.rows(Frozen(timezone.now()), wanted.format_key, wanted.project))
    _write_file(path, wanted, found)
    return ExportResult(rows.counted(found), {path.name: hashlib.sha256(path.read_bytes()).hexdigest()})


def _write_file(path: Path, wanted: ExportRequest, found: Iterable[Line]) -> None:
    if wanted.kind == "parquet":
        _write_parquet(path, wanted.format_key, list(found))
        return
    with path.open("wb") as file:
        for row in found:
            file.write(json.dumps(row, ensure_ascii=False).encode(errors="replace") + b"\n")


def _check(wanted: ExportRequest) -> None:
    if wanted.kind != "parquet":
        return
    if wanted.format_key in WATCHING:
        raise LinesOnly(wanted.format_key)
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ParquetUnavailable from error


def _write_parquet(path: Path, format_key: str, found: list[Line]) -> None:
    """Without rows, a file of the columns alone. A text that is no Unicode loses what cannot be written."""
    import pyarrow
    import pyarrow.parquet

    columns = schema(FORMATS[format_key])
    with pyarrow.parquet.ParquetWriter(path, columns) as writer:
        for start in range(0, len(found), 1000):
            writer.write_table(pyarrow.Table.from_pylist(_writable(found[start : start + 1000]), schema=columns))


def _writable(found: list[Line]) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(row, ensure_ascii=False).encode(errors="replace")) for row in found]


def pack(folder: Path, file: IO[bytes]) -> None:
    """The folder as a zip, to `file`."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
