"""Ends every process of a site, orphans included, by a marker in their environment.

Run as a program, it waits until its stdin closes, which happens however the supervisor ends, and then cleans up.
It imports neither Django nor this package: it must stay small and must not fail.
"""

import contextlib
import signal
import sys
import time

import psutil

MARKER = "CHAMSAE_SITE"
GRACE_S = 3.5


def marked(marker: str) -> list[psutil.Process]:
    """Running processes that were started with this marker, whatever their parent is by now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARKER) == marker and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def end(marker: str, grace_s: float = GRACE_S) -> int:
    """SIGTERM to all that carry the marker, SIGKILL to the rest after the grace; returns how many were killed."""
    _signal(marked(marker), signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while (left := marked(marker)) and time.monotonic() < deadline:
        time.sleep(0.1)
    killed = len(left)
    while left:  # again, for a process may have forked between the look and the signal
        _signal(left, signal.SIGKILL)
        time.sleep(0.05)
        left = marked(marker)
    return killed


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it acts only when the supervisor is gone
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end(sys.argv[1])


if __name__ == "__main__":
    main()
