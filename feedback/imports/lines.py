"""Opens a file of judgements: JSON lines or one JSON list, packed by gzip or not, or Parquet; within limits."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from django.utils.translation import gettext as _

from feedback.imports.errors import ImportTooLarge, PyarrowMissing, UnreadableImport
from feedback.imports.reasons import LeftOutReason, UnusableLine

MB = 1_000_000
MOST_OF_A_LINE = 16 * MB
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
Line = Mapping[str, Any] | UnusableLine


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path, limit_mb: int) -> Iterator[tuple[int, Line]]:
    """(number from 1, object or what is wrong with it). Raises UnreadableImport, ImportTooLarge, PyarrowMissing."""
    if path.stat().st_size > limit_mb * MB:
        raise ImportTooLarge(limit_mb)
    with path.open("rb") as file:
        beginning = file.read(4)
    if beginning == PARQUET:
        yield from enumerate(_parquet(path), 1)
        return
    is_packed = beginning[:2] == GZIP
    try:
        with gzip.open(path, "rb") if is_packed else path.open("rb") as opened:
            yield from _json(cast("IO[bytes]", opened), limit_mb)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableImport(_("its packing by gzip is damaged")) from error


def _json(file: IO[bytes], limit_mb: int) -> Iterator[tuple[int, Line]]:
    left = limit_mb * MB
    for number, line in enumerate(_lines(file), 1):
        left -= len(line)
        if left < 0:
            raise ImportTooLarge(limit_mb)
        if number == 1 and line.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
            yield from enumerate(_list(line + file.read(left + 1), limit_mb), 1)
            return
        if line.strip():
            yield number, _object(line)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """A line that is too long is cut, and what remains of it skipped."""
    while line := file.readline(MOST_OF_A_LINE + 1):
        rest = line
        while len(rest) > MOST_OF_A_LINE and not rest.endswith(b"\n"):
            rest = file.readline(MOST_OF_A_LINE + 1)
        yield line


def _object(line: bytes) -> Line:
    if len(line) > MOST_OF_A_LINE:
        return UnusableLine(LeftOutReason.TOO_LONG)
    try:
        found = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return UnusableLine(LeftOutReason.NOT_UTF8)
    except (ValueError, RecursionError):
        return UnusableLine(LeftOutReason.NOT_JSON)
    return found if isinstance(found, dict) else UnusableLine(LeftOutReason.NOT_JSON)


def _list(content: bytes, limit_mb: int) -> Iterator[Line]:
    if len(content) > limit_mb * MB:
        raise ImportTooLarge(limit_mb)
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UnreadableImport(_("it begins as a list in JSON, and is none")) from error
    yield from (one if isinstance(one, dict) else UnusableLine(LeftOutReason.NOT_JSON) for one in found)


def _parquet(path: Path) -> Iterator[Line]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise PyarrowMissing from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=500):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise UnreadableImport(_("it is damaged, or not in Parquet's format")) from error
