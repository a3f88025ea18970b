"""The audit log: each privileged action adds an entry in its own transaction, and hashes chain the entries."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.db import models, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models import AuditEntry, User


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
    newest = AuditEntry.objects.select_for_update().order_by("-id").first()
    entry = AuditEntry(
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
    entry.hash = _digest(entry)
    entry.save(force_insert=True)
    return entry


def _digest(entry: AuditEntry) -> str:
    """sha256 over the entry's fields and the hash of the entry before it."""
    fields = [
        entry.at.isoformat(),
        entry.actor_id,
        entry.verb,
        entry.target,
        entry.reason,
        entry.before,
        entry.after,
        entry.undoes_id,
        entry.previous_hash,
    ]
    return hashlib.sha256(json.dumps(fields, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def pseudonym(name: str) -> str:
    """A stable code for a name: tells names apart without revealing them."""
    return salted_hmac("accounts.audit.name", name, algorithm="sha256").hexdigest()[:12]


def broken_links() -> list[int]:
    """Ids of entries whose hash does not match: rows were changed, removed or inserted outside of `record`."""
    broken, previous = [], ""
    for entry in AuditEntry.objects.order_by("id").iterator():
        if entry.previous_hash != previous or entry.hash != _digest(entry):
            broken.append(entry.pk)
        previous = entry.hash
    return broken
