"""Checks the free disk space that a run needs before it starts, as a multiple of its base policy's size."""

import shutil
from pathlib import Path

from chat import policies
from chat.models import Policy
from rlhf.errors import NotEnoughSpace


def check(policy: Policy, disk: Path | str, factor: int) -> None:
    """`disk`: any path on the disk that the run writes to. Raises NotEnoughSpace, BadPolicy, OSError."""
    needed = factor * sum(file.stat().st_size for file in policies.directory(policy).iterdir())
    free = shutil.disk_usage(disk).free
    if free < needed:
        raise NotEnoughSpace(free >> 20, needed >> 20)
