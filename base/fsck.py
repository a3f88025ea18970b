"""The registry of the site's promises: each app names what holds its own against the database and the disk.

Numbers are those of the promises: feedback (1), replies (2, 3), the live policy (4, 5), trainers (6), snapshots (7),
the audit log (8), leftovers (9), errors that say something (10). Beyond them: usage (11).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module

from django.conf import settings

LEASE_GRACE = timedelta(minutes=2)
"""A lease that ran out longer ago than this should have been taken over or ended."""
Check = tuple[int, Callable[[], Iterator[str]]]
"""The number of a promise, and what tells where it does not hold."""


@dataclass(frozen=True)
class Problem:
    promise: int
    text: str


def problems() -> list[Problem]:
    """Everything that is not as promised; empty on a sound site."""
    return [Problem(promise, text) for promise, check in all_checks() for text in check()]


def all_checks() -> list[Check]:
    """Those of every app (settings.FSCK), by the number of the promise."""
    checks = [check for path in settings.FSCK for check in import_module(path).CHECKS]
    return sorted(checks, key=lambda check: check[0])
