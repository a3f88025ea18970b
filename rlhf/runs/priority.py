"""The priority of training processes: they take the time that is left over, or run with a set niceness."""

import os
import time
from pathlib import Path

LOWEST = 19
"""The niceness with the smallest share of time."""
TRIES, PAUSE_S = 3, 0.15
"""Linux takes at most ten changes of a session's niceness a second from people other than root."""


def lower(pid: int, nice: int | None) -> None:
    """For a process that has just started: its threads inherit what is set here. None: it runs only on a core that
    nobody else wants (SCHED_IDLE), or with the lowest priority where the system knows no such class."""
    for thread in _threads(pid):
        try:
            os.setpriority(os.PRIO_PROCESS, thread, LOWEST if nice is None else nice)
            if nice is None and hasattr(os, "SCHED_IDLE"):
                os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
        except ProcessLookupError:  # it may have ended already
            continue
    _lower_session(pid, LOWEST if nice is None else nice)


def _threads(pid: int) -> list[int]:
    """All of them, should it have started some before this one came to run."""
    try:
        return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return [pid]


def _lower_session(pid: int, nice: int) -> None:
    """Where Linux shares time between sessions first (autogroups), what counts is the niceness of the child's own."""
    path = Path(f"/proc/{pid}/autogroup")
    for attempt in range(TRIES):
        try:
            path.write_text(str(nice))
            return
        except BlockingIOError:
            time.sleep(PAUSE_S * (attempt + 1))
        except OSError:  # another system, or it has ended
            return
