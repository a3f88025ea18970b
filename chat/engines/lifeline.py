"""What a child process does so that it never outlives its parent. Knows no Django."""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Linux kills this process when its parent dies, even if it is stopped and never sees its stdin end.

    Ctrl+C reaches the whole terminal; what comes of it is for the parent to say.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
