"""API keys: making, finding, rate limits, revoking. The secret is shown once; only its hash is stored."""

import hashlib
import secrets
import string
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.models import ApiKey, User
from accounts.roles import Role
from base import shared_cache

SCOPES = ("models", "completions", "files", "fine_tuning", "admin")
PREFIX = "sk-"
SECRET_CHARS = 40
ALPHABET = string.ascii_letters + string.digits
MINUTE_S = 60
USE_NOTED_EVERY = timedelta(seconds=30)
"""The precision of `last_used_at`, which saves a write for every request."""


@dataclass
class KeyRateLimited(Exception):
    """The key made too many requests within a minute."""

    limit: int
    retry_after_s: float


class NotAnAdmin(Exception):
    """Only admins may have a key with the scope `admin`."""

    code = "not_an_admin"

    def __str__(self) -> str:
        return "only an admin can have a key with the scope `admin`"


def make(
    owner: User,
    name: str,
    *,
    scopes: Collection[str] = (),
    requests_per_minute: int | None = None,
    actor: User | None = None,
) -> tuple[ApiKey, str]:
    """Makes a key. Returns it with its secret, which cannot be shown again. Raises NotAnAdmin."""
    if "admin" in scopes and not owner.has_role(Role.ADMIN):
        raise NotAnAdmin
    secret = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(SECRET_CHARS))
    with transaction.atomic():
        key = ApiKey.objects.create(
            owner=owner,
            name=name,
            sha256=_digest(secret),
            shown=f"{secret[:6]}…{secret[-4:]}",
            scopes=sorted(scopes),
            requests_per_minute=requests_per_minute,
        )
        after = {"owner": owner.pk, "scopes": key.scopes, "requests_per_minute": requests_per_minute}
        audit.record(actor, "key.create", key, after=after)
    return key, secret


def find(secret: str) -> ApiKey | None:
    """The key with that secret, if it may be used now."""
    key = ApiKey.objects.filter(sha256=_digest(secret), revoked_at=None).select_related("owner").first()
    return key if key is not None and key.owner.is_in_good_standing else None


def may(key: ApiKey, scope: str) -> bool:
    """Whether the key has the scope. A key without scopes has every one but `admin`."""
    if scope == "admin":
        return "admin" in key.scopes and key.owner.has_role(Role.ADMIN)
    return not (set(key.scopes) - {"admin"}) or scope in key.scopes


def check_rate(key: ApiKey) -> None:
    """Counts a request in the current minute. Raises KeyRateLimited."""
    limit = settings.API_REQUESTS_PER_MINUTE if key.requests_per_minute is None else key.requests_per_minute
    count, left_s = shared_cache.count(f"api:key:{key.pk}", MINUTE_S)
    if count > limit:
        raise KeyRateLimited(limit, left_s)


def note_use(key: ApiKey) -> None:
    now = timezone.now()
    if key.last_used_at is None or key.last_used_at < now - USE_NOTED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)


def revoke(key: ApiKey, *, actor: User | None) -> None:
    """Idempotent."""
    with transaction.atomic():
        if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
            audit.record(actor, "key.revoke", key)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
