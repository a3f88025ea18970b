"""Checks that the audit log's chain of seals is unbroken."""

from collections.abc import Iterator

from accounts import audit_checks
from base.fsck import Check


def entries_are_chained() -> Iterator[str]:
    for fault in audit_checks.verify().faults:
        yield f"audit log: {fault}"


CHECKS: tuple[Check, ...] = ((8, entries_are_chained),)
