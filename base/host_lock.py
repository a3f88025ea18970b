"""A lock by name among the processes and threads of one host, which ends with its holder however that dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from django.conf import settings


@contextlib.contextmanager
def only_one(name: str) -> Iterator[None]:
    """Waits for as long as another one holds the name."""
    with _held(name, fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def if_free(name: str) -> Iterator[bool]:
    """Holds the name where nobody does; False where somebody does."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(_held(name, fcntl.LOCK_EX | fcntl.LOCK_NB))
            is_free = True
        except BlockingIOError:
            is_free = False
        yield is_free


@contextlib.contextmanager
def _held(name: str, how: int) -> Iterator[None]:
    path = Path(settings.HOME) / "locks" / quote(name, safe="")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, how)
            if _is_still(path, file.fileno()):  # its last holder removes the file: who waited holds nothing then
                break
        except BaseException:
            file.close()
            raise
        file.close()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
