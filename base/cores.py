"""How many cores this process may use: fewer than the machine has where its affinity or a quota says so."""

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """At least one. Of a quota only whole cores count: a thread beyond it stops all of them until the next period."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *map(int, _quotas())]))


def _quotas() -> Iterator[float]:
    """In cores, of this process's cgroup (version 2: containers, systemd) and of those above it."""
    try:
        lines = OWN_CGROUP.read_text().splitlines()
    except OSError:  # not Linux
        return
    for path in (line.removeprefix("0::/") for line in lines if line.startswith("0::/")):
        own = CGROUPS / path
        for group in (own, *own.parents):
            try:
                quota, period = (group / "cpu.max").read_text().split()
            except OSError:  # the topmost has none, and a container does not see those above its own
                continue
            if quota != "max":
                yield int(quota) / int(period)
