"""Collects the checks by which each app verifies its promises against the database and the disk (`manage.py fsck`).

Numbers are those of the promises: feedback (1), replies (2, 3), the live policy (4, 5), trainers (6), snapshots (7),
the audit log (8), leftovers (9), errors that say something (10). Beyond them: usage (11),
temporary conversations (12).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module

from django.conf import settings

from base.state_errors import StateError

LEASE_GRACE = timedelta(minutes=2)
"""A lease that expired longer ago than this should have been taken over or ended."""
Check = tuple[int, Callable[[], Iterator[str]]]
"""The number of a promise, and a function that yields a text for each place where it is broken."""


@dataclass(frozen=True)
class Problem:
    promise: int
    text: str


def problems() -> list[Problem]:
    """Every broken promise; empty on a sound site."""
    return [Problem(promise, text) for promise, check in all_checks() for text in told_by(check)]


def told_by(check: Callable[[], Iterator[str]]) -> Iterator[str]:
    """A check that the shared state did not let come to its end says so; the others go on."""
    try:
        yield from check()
    except StateError as error:
        yield f"{check.__name__.replace('_', ' ')}: not checked to the end: {error}"


def all_checks() -> list[Check]:
    """The checks of every app (settings.FSCK), by the number of the promise."""
    checks = [check for path in settings.FSCK for check in import_module(path).CHECKS]
    return sorted(checks, key=lambda check: check[0])
