"""The seals of the audit log: HMACs by a key that is not in the database, over an entry and the seal before it."""

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any, Protocol

from django.conf import settings


class Sealed(Protocol):
    """What a seal covers; models.AuditEntry, and its state in a migration."""

    sequence: int
    at: Any
    actor_id: int | None
    verb: str
    target: str
    reason: str
    before: Any
    after: Any
    undoes_id: int | None
    previous_hash: str
    hash: str


def seal_of(entry: Sealed) -> str:
    return sign(_fields(entry))


def is_sealed(entry: Sealed) -> bool:
    """Whether the entry is as `record` wrote it, under the present key or a former one."""
    return is_signed(_fields(entry), entry.hash)


def sign(fields: Sequence[Any]) -> str:
    """64 hexadecimal digits: HMAC-SHA256 of values that JSON has, by the first of settings.AUDIT_KEYS."""
    return _hmac(settings.AUDIT_KEYS[0], fields)


def is_signed(fields: Sequence[Any], signature: str) -> bool:
    return any(hmac.compare_digest(_hmac(key, fields), signature) for key in settings.AUDIT_KEYS)


def _hmac(key: str, fields: Sequence[Any]) -> str:
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False)
    own_key = hashlib.sha256(f"accounts.audit:{key}".encode()).digest()  # the same secret may serve something else
    return hmac.new(own_key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _fields(entry: Sealed) -> list[Any]:
    return [
        entry.sequence,
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
