"""The storage that hosts share, object by object: an object that is not there is told from a storage that is away."""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import storages

from base.shared_index import BLOCK
from base.state_errors import StateAway, StateError

try:
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from s3transfer import exceptions as of_transfers

    FAILURES: tuple[type[Exception], ...] = (
        *(OSError, Boto3Error, BotoCoreError, ClientError),
        # They have no base of their own, and boto3 passes those of downloads on as they are.
        *(of_transfers.RetriesExceededError, of_transfers.S3DownloadFailedError, of_transfers.S3UploadFailedError),
        *(of_transfers.S3CopyFailedError, of_transfers.S3ValidationError, of_transfers.FatalError),
    )
except ImportError:  # a site without S3
    FAILURES = (OSError,)

STORAGE = "shared"


def is_set() -> bool:
    return STORAGE in settings.STORAGES


def read(name: str) -> bytes:
    """Of a small object. Raises FileNotFoundError, StateAway."""
    return b"".join(blocks(name))


def blocks(name: str) -> Iterator[bytes]:
    """Raises FileNotFoundError, StateAway."""
    with _answering(), storages[STORAGE].open(name) as source:
        while block := source.read(BLOCK):
            yield block


def save(name: str, content: "File[Any]") -> None:
    """Overwrites what was there. Raises StateAway."""
    try:
        with _answering():
            saved = storages[STORAGE].save(name, content)
    except FileNotFoundError as error:  # a folder that was taken away meanwhile
        raise StateAway(str(error)) from error
    if saved != name:  # a storage that keeps what was there under that name
        raise StateAway(f"{name} was stored as {saved}; the storage has to overwrite")


def delete(name: str) -> None:
    """Also where there is none. Raises StateAway."""
    with _answering():
        storages[STORAGE].delete(name)


def size(name: str) -> int:
    """Bytes. Raises FileNotFoundError, StateAway."""
    with _answering():
        return int(storages[STORAGE].size(name))


def saved_at(name: str) -> float:
    """Seconds since the epoch. Raises FileNotFoundError, StateAway."""
    with _answering():
        return float(storages[STORAGE].get_modified_time(name).timestamp())


def listed(place: str) -> tuple[list[str], list[str]]:
    """Names of the folders and of the objects right under a place; nothing where there is none. Raises StateAway."""
    try:
        with _answering():
            folders, objects = storages[STORAGE].listdir(place)
    except FileNotFoundError:
        return [], []
    return sorted(folders), sorted(objects)


def everything_under(place: str) -> Iterator[str]:
    """Names of all objects, however deep. Raises StateAway."""
    folders, objects = listed(place)
    yield from (f"{place}/{name}" for name in objects)
    for folder in folders:
        yield from everything_under(f"{place}/{folder}")


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    """The only place where an error of the storage gets its meaning. Raises FileNotFoundError, StateAway."""
    try:
        yield
    except (FileNotFoundError, StateError):
        raise
    except FAILURES as error:
        if _is_absence(error):
            raise FileNotFoundError(str(error)) from error
        raise StateAway(str(error) or type(error).__name__) from error


def _is_absence(error: Exception) -> bool:
    """Of one object: where S3 has no such bucket, nothing can be told of what is in it."""
    response = getattr(error, "response", None)
    return isinstance(response, dict) and response.get("Error", {}).get("Code") in ("404", "NoSuchKey")
