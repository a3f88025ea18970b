"""Secrets of webhooks: made here, shown once, encrypted at rest, and the signature that they make.

A signature needs the secret itself, so a hash of it, as of API keys, would not do: it is encrypted by a key that is
made from the site's own secret, which is not in the database.
"""

import base64
import hashlib
import hmac
import secrets

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

PREFIX = "whsec_"
"""As Standard Webhooks writes secrets: this, and base64 of 24 to 64 bytes."""
SECRET_BYTES = 32


class UnreadableSecret(Exception):
    """It was encrypted under another secret of the site."""

    code = "unreadable_secret"

    def __str__(self) -> str:
        return _("The secret of the webhook can't be read: the site's own secret has changed. Make a new one.")


def new() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def encrypted(secret: str) -> str:
    return _cipher().encrypt(secret.encode()).decode()


def decrypted(stored: str) -> str:
    """Raises UnreadableSecret."""
    try:
        return _cipher().decrypt(stored.encode()).decode()
    except InvalidToken as error:
        raise UnreadableSecret from error


def shown(secret: str) -> str:
    """By which an admin recognises it."""
    return f"{secret[:9]}…{secret[-4:]}"


def signature(secret: str, key: str, at: int, body: bytes) -> str:
    """The header `webhook-signature` of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`
    (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme").
    `at`: seconds since 1970."""
    signed = f"{key}.{at}.".encode() + body
    digest = hmac.new(base64.b64decode(secret.removeprefix(PREFIX)), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _cipher() -> MultiFernet:
    return MultiFernet([_fernet(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _fernet(key: str) -> Fernet:
    made = salted_hmac("feedback.webhooks", "encryption", secret=key, algorithm="sha256").digest()
    return Fernet(base64.urlsafe_b64encode(made))
