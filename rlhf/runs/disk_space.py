"""Checks that a disk has room for what a run is about to write."""

import shutil
from pathlib import Path
from typing import NamedTuple


class Shortage(NamedTuple):
    free_mb: int
    needed_mb: int


def find_shortage(disk: Path, needed: int) -> Shortage | None:
    """Whether `disk` lacks room for so many bytes; None if there is enough. Raises OSError."""
    free = shutil.disk_usage(disk).free
    return Shortage(free >> 20, needed >> 20) if free < needed else None
