"""Taking a file in: streamed to the disk, bounded, read to its end, and only then a row. Else nothing is left."""

import hashlib
import os
import secrets
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from accounts.models import User
from fine_tuning.data.survey import Survey, stored, survey
from fine_tuning.errors import BadFileName, FileTooLarge, NoRoom
from fine_tuning.models import DataFile, new_file_id

QUOTA_FILES = 5
"""Sizes of the largest file that one person's files may have together."""
MAX_NAME_CHARS = 200


class Draft:
    """A file under UPLOADS_DIR that nobody knows of yet; gone with the block unless it was kept."""

    def __init__(self, room: int) -> None:
        self.path = Path(settings.UPLOADS_DIR) / f"tmp-{secrets.token_hex(8)}"
        self.room, self.bytes = room, 0
        self.digest = hashlib.sha256()
        self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def __enter__(self) -> "Draft":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Raises FileTooLarge, NoRoom."""
        self.bytes += len(chunk)
        if self.bytes > most_bytes():
            raise FileTooLarge(settings.UPLOAD_MB)
        if self.bytes > self.room:
            raise NoRoom(settings.UPLOAD_MB * QUOTA_FILES)
        self.digest.update(chunk)
        self._file.write(chunk)

    def close(self) -> None:
        self._file.close()


def most_bytes() -> int:
    return int(settings.UPLOAD_MB) * 2**20


def bytes_left(person: User) -> int:
    """Bytes that the person may still store."""
    used = person.data_files.aggregate(sum=Sum("bytes"))["sum"] or 0
    return max(0, most_bytes() * QUOTA_FILES - used)


def take(
    person: User,
    filename: str,
    chunks: Iterable[bytes],
    *,
    purpose: DataFile.Purpose = DataFile.Purpose.FINE_TUNE,
    expires_at: datetime | None = None,
) -> DataFile:
    """The file as a row, its bytes on the disk. Raises TuningError, and then neither is there."""
    with Draft(bytes_left(person)) as draft:
        for chunk in chunks:
            draft.write(chunk)
        return keep(person, filename, draft, purpose=purpose, expires_at=expires_at)


def keep(
    person: User,
    filename: str,
    draft: Draft,
    *,
    purpose: DataFile.Purpose = DataFile.Purpose.FINE_TUNE,
    expires_at: datetime | None = None,
) -> DataFile:
    """Reads a complete draft and makes it a file of the person's. Raises BadFile, NothingThere, BadFileName."""
    name = _plain_name(filename)
    draft.close()
    found = survey(draft.path, name) if purpose == DataFile.Purpose.FINE_TUNE else Survey()
    file = DataFile(
        id=new_file_id(),
        owner=person,
        filename=name,
        purpose=purpose,
        state=DataFile.State.PROCESSED,
        form=found.form,
        lines=found.lines,
        problems=stored(found.notes),
        bytes=draft.bytes,
        sha256=draft.digest.hexdigest(),
        expires_at=expires_at,
    )
    with transaction.atomic():
        file.save(force_insert=True)
        os.replace(draft.path, file.path)  # the last step: if it fails, the row goes with it
    return file


def _plain_name(filename: str) -> str:
    """The base name of what somebody calls a file; BadFileName where it leads somewhere else."""
    parts = PurePosixPath(filename).parts
    if not parts or ".." in parts or "\\" in filename or any(ord(char) < 32 or ord(char) == 127 for char in filename):
        raise BadFileName
    name = parts[-1].strip()
    if name in ("", ".", "/"):
        raise BadFileName
    stem, dot, suffix = name.rpartition(".")
    return name if len(name) <= MAX_NAME_CHARS else f"{stem[: MAX_NAME_CHARS - 20]}{dot}{suffix[:10]}"


def remove(file: DataFile) -> None:
    """The row first: bytes without a row are what a crash may leave, and what `sweep` takes away."""
    path = file.path
    file.delete()
    transaction.on_commit(lambda: path.unlink(missing_ok=True))


def sweep(older_than_s: float = 3600.0) -> list[Path]:
    """Removes what no row names: drafts of uploads that broke off, bytes of files that were deleted."""
    known = set(DataFile.objects.values_list("id", flat=True))
    strays = [path for path in Path(settings.UPLOADS_DIR).iterdir() if path.is_file() and path.name not in known]
    old = [path for path in strays if time.time() - path.stat().st_mtime > older_than_s]
    for path in old:
        path.unlink(missing_ok=True)
    return old
