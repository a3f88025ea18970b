"""Checks that the audit log's chain of hashes is unbroken."""

from collections.abc import Iterator

from accounts import audit
from base.fsck import Check


def entries_are_chained() -> Iterator[str]:
    for entry_id in audit.broken_links():
        yield f"audit entry {entry_id} does not follow from the one before it"


CHECKS: tuple[Check, ...] = ((8, entries_are_chained),)
