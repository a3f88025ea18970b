"""Whether this machine could confine a child process to its own directory: by Landlock, or by bubblewrap."""

import ctypes
import shutil
import sys

CREATE_RULESET = 444
"""The number of landlock_create_ruleset, on every architecture."""
ASK_VERSION = 1


def landlock_version() -> int:
    """Of the kernel's interface; 0 where it has none, or where it is off."""
    if sys.platform != "linux":
        return 0
    answer = ctypes.CDLL(None, use_errno=True).syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ASK_VERSION)
    return max(0, int(answer))


def has_bubblewrap() -> bool:
    return shutil.which("bwrap") is not None
