"""People's files as texts that other apps may read (settings.LECTURE_TEXTS)."""

from pathlib import Path

from accounts.models import User
from fine_tuning.data import files
from fine_tuning.models import DataFile

READABLE = (".jsonl", ".json", ".txt")


def titles(person: User) -> list[tuple[str, str]]:
    """(id, file name) of those that are text, the newest first."""
    found = files.of(person).filter(purpose=DataFile.Purpose.FINE_TUNE).values_list("id", "filename")
    return [(file_id, name) for file_id, name in found if name.lower().endswith(READABLE)]


def path(person: User, file_id: str) -> Path | None:
    """None where the person has no such file. Raises OSError."""
    file = files.of(person).filter(pk=file_id).first()
    return None if file is None else file.fetched()
