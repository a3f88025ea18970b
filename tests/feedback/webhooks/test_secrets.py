"""Signatures as Standard Webhooks makes them, and secrets that the database alone does not tell."""

import pytest

from feedback.webhooks import secrets

EXAMPLE = b'{"event_type":"ping","data":{"success":true}}'
"""Of the specification, with its secret, id and time."""


def test_the_example_of_the_specification():
    made = secrets.signature("whsec_plJ3nmyCDGBKInavdOK15jsl", "msg_loFOjxBNrRLzqYUf", 1731705121, EXAMPLE)
    assert made == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


def test_a_secret_is_encrypted_by_the_site_secret(settings):
    secret = secrets.new()
    stored = secrets.encrypted(secret)
    assert secret not in stored
    assert secrets.decrypted(stored) == secret
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another one"
    with pytest.raises(secrets.UnreadableSecret):
        secrets.decrypted(stored)
    settings.SECRET_KEY_FALLBACKS = [old]
    assert secrets.decrypted(stored) == secret
