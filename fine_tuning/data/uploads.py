"""Stores an uploaded file: streams it to disk within limits, checks every line, and adds a row only then."""

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

from accounts import storage
from accounts.models import User
from base import shared_state
from fine_tuning.data.survey import Survey, as_json, survey
from fine_tuning.errors import BadFileName, FileTooLarge, NoRoom
from fine_tuning.models import DataFile, new_file_id

MAX_NAME_CHARS = 200


class UploadDraft:
    """A file under UPLOADS_DIR without a row yet; removed at the end of the `with` block unless it was saved."""

    def __init__(self, limit: int) -> None:
        self.path = Path(settings.UPLOADS_DIR) / f"tmp-{secrets.token_hex(8)}"
        self.limit, self.bytes = limit, 0
        self.digest = hashlib.sha256()
        self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def __enter__(self) -> "UploadDraft":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Raises FileTooLarge, NoRoom."""
        self.bytes += len(chunk)
        if self.bytes > max_bytes():
            raise FileTooLarge(settings.UPLOAD_MB)
        if self.bytes > self.limit:
            raise NoRoom(settings.QUOTA_MB)
        self.digest.update(chunk)
        self._file.write(chunk)

    def close(self) -> None:
        self._file.close()


def max_bytes() -> int:
    return int(settings.UPLOAD_MB) * 2**20


def stored_bytes(person: User) -> int:
    """What the person's files take (accounts.storage)."""
    return person.data_files.aggregate(sum=Sum("bytes"))["sum"] or 0


def store(
    person: User,
    filename: str,
    chunks: Iterable[bytes],
    *,
    purpose: DataFile.Purpose = DataFile.Purpose.FINE_TUNE,
    expires_at: datetime | None = None,
) -> DataFile:
    """Stores the bytes and adds a row. Raises TuningError, and then nothing is stored."""
    with UploadDraft(storage.bytes_left(person)) as draft:
        for chunk in chunks:
            draft.write(chunk)
        return save(person, filename, draft, purpose=purpose, expires_at=expires_at)


def save(
    person: User,
    filename: str,
    draft: UploadDraft,
    *,
    purpose: DataFile.Purpose = DataFile.Purpose.FINE_TUNE,
    expires_at: datetime | None = None,
) -> DataFile:
    """Checks a complete draft and makes it the person's file. Raises BadFile, NothingThere, BadFileName."""
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
        problems=as_json(found.notes),
        bytes=draft.bytes,
        sha256=draft.digest.hexdigest(),
        expires_at=expires_at,
    )
    with transaction.atomic():
        file.save(force_insert=True)
        os.replace(draft.path, file.path)
        shared_state.publish(file.path)  # the last step: if it fails, the row goes with it
    return file


def _plain_name(filename: str) -> str:
    """The base name of a file name. Raises BadFileName where it leads to another folder."""
    parts = PurePosixPath(filename).parts
    if not parts or ".." in parts or "\\" in filename or any(ord(char) < 32 or ord(char) == 127 for char in filename):
        raise BadFileName
    name = parts[-1].strip()
    if name in ("", ".", "/"):
        raise BadFileName
    stem, dot, suffix = name.rpartition(".")
    return name if len(name) <= MAX_NAME_CHARS else f"{stem[: MAX_NAME_CHARS - 20]}{dot}{suffix[:10]}"


def remove(file: DataFile) -> None:
    """The row first: a crash may then leave bytes without a row, which `remove_strays` removes."""
    path = file.path
    file.delete()
    transaction.on_commit(lambda: shared_state.remove(path), robust=True)


def remove_strays(older_than_s: float = 3600.0) -> list[Path]:
    """Removes files without a row: drafts of uploads that broke off, bytes of files that were deleted."""
    known = set(DataFile.objects.values_list("id", flat=True))
    strays = [path for path in Path(settings.UPLOADS_DIR).iterdir() if path.is_file() and path.name not in known]
    old = [path for path in strays if time.time() - path.stat().st_mtime > older_than_s]
    for path in old:
        path.unlink(missing_ok=True)
    for path in shared_state.stored_in(Path(settings.UPLOADS_DIR)):
        if path.name not in known and shared_state.stored_for_s(path) > older_than_s:
            shared_state.remove(path)  # deleted while the storage was away, or its upload broke off
    return old
