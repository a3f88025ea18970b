"""The audit log: each privileged action adds an entry in its own transaction, and keyed seals chain the entries."""

from collections.abc import Mapping
from typing import Any

from django.db import connection, models, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts import audit_heads
from accounts.audit_seals import seal_of
from accounts.models import AuditEntry, User

LOCK = 0x6368616D_73616500
"""Of PostgreSQL's advisory locks, the one that puts writers in one order; the letters `chamsae`."""


def record(
    actor: User | None,
    verb: str,
    target: models.Model,
    *,
    reason: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    undoes: AuditEntry | None = None,
) -> AuditEntry:
    """Adds an entry. Must run in the transaction of the change, so that neither is stored without the other."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError(f"{verb}: an audit entry belongs in the transaction of its action")
    _wait_for_other_writers()
    newest = AuditEntry.objects.order_by("-sequence").first()
    entry = AuditEntry(
        sequence=newest.sequence + 1 if newest else 1,
        at=timezone.now(),
        actor=actor,
        verb=verb,
        target=f"{target._meta.label_lower}:{target.pk}",
        reason=reason,
        before=dict(before or {}),
        after=dict(after or {}),
        undoes=undoes,
        previous_hash=newest.hash if newest else "",
    )
    entry.hash = seal_of(entry)
    entry.save(force_insert=True)
    transaction.on_commit(lambda: audit_heads.write(entry.sequence, entry.hash))
    return entry


def _wait_for_other_writers() -> None:
    """Until the end of the transaction no other adds an entry. A lock on the newest row would not do: who waited for
    it goes on from that same row, which is the newest no more. SQLite has one writer at a time anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def pseudonym(name: str) -> str:
    """A stable code for a name: tells names apart without revealing them."""
    return salted_hmac("accounts.audit.name", name, algorithm="sha256").hexdigest()[:12]
