"""Checks that a disk has room for what a run is about to write."""

import shutil
from pathlib import Path
from typing import NamedTuple


class Shortage(NamedTuple):
    free_mb: int
    needed_mb: int


def find_shortage(policy: Path, disk: Path, *, copies: int) -> Shortage | None:
    """Whether `disk` lacks room for so many copies of a policy's directory; None if there is enough.

    Raises OSError where the directory can't be read.
    """
    needed = copies * sum(file.stat().st_size for file in policy.iterdir())
    free = shutil.disk_usage(disk).free
    return Shortage(free >> 20, needed >> 20) if free < needed else None
