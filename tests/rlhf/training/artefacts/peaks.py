"""The memory of its own that a piece of work takes at most, beside pages of files that the kernel may drop."""

import threading
import time
from collections.abc import Callable
from pathlib import Path


def peak_of(work: Callable[[], object]) -> int:
    """Bytes above what the process had before."""
    before = peak = _anonymous()
    is_over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not is_over.is_set():
            peak = max(peak, _anonymous())
            time.sleep(0.001)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        work()
    finally:
        is_over.set()
        watching.join()
    return peak - before


def _anonymous() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) << 10
