"""Heads of the audit log outside of the database: after each entry a signed line with its number and its seal.

The lines are only ever appended, so that a second place may be a file that nobody can rewrite (`chattr +a`, another
machine's disk). A line that says `restored` tells that the database went back to that entry, by a backup.
"""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from accounts.audit_seals import is_signed, sign

TAIL_BYTES = 64 * 1024
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogHead:
    sequence: int
    seal: str
    at: str
    is_restored: bool = False

    def line(self) -> str:
        return json.dumps([*self._fields(), sign(self._fields())]) + "\n"

    def _fields(self) -> list[int | str | bool]:
        return [self.sequence, self.seal, self.at, self.is_restored]


def places() -> list[Path]:
    """The files of heads: the site's own, and the one that the settings name (CHAMSAE_AUDIT_HEADS)."""
    return [Path(place) for place in settings.AUDIT_HEADS]


def write(sequence: int, seal: str, *, is_restored: bool = False) -> None:
    """Appends to every place. The entry is committed by now, so a full disk stops nobody: the log says so."""
    line = LogHead(sequence, seal, timezone.now().isoformat(), is_restored).line()
    for place in places():
        try:
            _append(place, line)
        except OSError as error:
            log.error("the head of the audit log was not written to %s: %s", place, error)


def _append(place: Path, line: str) -> None:
    """In one write, so that lines of several processes never mix."""
    handle = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def read(place: Path, *, tail: bool = False) -> dict[int, str]:
    """{number of an entry: its seal} by the signed lines of the place, of its end alone where `tail`; none where the
    file is absent. What came after an entry that the log was restored to does not count."""
    known: dict[int, str] = {}
    for head in _heads_in(_bytes_of(place, tail)):
        if head.is_restored:
            known = {sequence: seal for sequence, seal in known.items() if sequence <= head.sequence}
        known[head.sequence] = head.seal
    known.pop(0, None)  # the log was empty then
    return known


def _bytes_of(place: Path, tail: bool) -> bytes:
    if not place.exists():
        return b""
    with place.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES) if tail else 0)
        return file.read()


def _heads_in(content: bytes) -> Iterator[LogHead]:
    for line in content.splitlines():
        head = _head_of(line)
        if head:
            yield head


def _head_of(line: bytes) -> LogHead | None:
    """None for half a line, and for one that is not signed by the site."""
    try:
        *fields, signature = json.loads(line)
        return LogHead(*fields) if is_signed(fields, str(signature)) else None
    except (ValueError, TypeError):
        return None
