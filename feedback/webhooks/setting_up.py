"""Adds, changes and removes webhooks, each with an entry in the audit log."""

from collections.abc import Collection, Mapping
from typing import Any

from django.db import transaction

from accounts import audit
from accounts.models import User
from feedback.models import Webhook
from feedback.webhooks import addresses, secrets


def add(name: str, url: str, events: Collection[str], *, by: User | None) -> tuple[Webhook, str]:
    """Returns it with its secret, which cannot be shown again. Raises addresses.BadHookAddress."""
    addresses.check(url)  # before the transaction, which must not wait for a name server
    secret = secrets.new()
    made = Webhook(name=name, url=url, events=sorted(events), created_by=by)
    made.secret, made.shown = secrets.encrypted(secret), secrets.shown(secret)
    with transaction.atomic():
        made.save()
        audit.record(by, "webhook.add", made, after=_told(made))
    return made, secret


def change(webhook: Webhook, *, by: User | None, **values: Any) -> bool:
    """`name`, `url`, `events`, `is_on`; whether something changed. Switched on, its failures are forgotten. Raises
    addresses.BadHookAddress."""
    if values.get("url", webhook.url) != webhook.url:
        addresses.check(values["url"])
    with transaction.atomic():
        return _change(webhook, by, values)


def _change(webhook: Webhook, by: User | None, values: Mapping[str, Any]) -> bool:
    locked = Webhook.objects.select_for_update().get(pk=webhook.pk)
    before = _told(locked)
    for name, value in values.items():
        setattr(locked, name, sorted(value) if name == "events" else value)
    if _told(locked) == before:
        return False
    if locked.is_on and not before["is_on"]:
        locked.failures, locked.disabled_at = 0, None
    locked.save()
    audit.record(by, "webhook.change", locked, before=before, after=_told(locked))
    return True


@transaction.atomic
def rotate(webhook: Webhook, *, by: User | None) -> str:
    """A new secret in place of the old one, which stops to sign at once."""
    secret = secrets.new()
    webhook.secret, webhook.shown = secrets.encrypted(secret), secrets.shown(secret)
    webhook.save(update_fields=["secret", "shown"])
    audit.record(by, "webhook.rotate", webhook, after={"shown": webhook.shown})
    return secret


@transaction.atomic
def remove(webhook: Webhook, *, by: User | None) -> None:
    """With its deliveries."""
    audit.record(by, "webhook.remove", webhook, before=_told(webhook))
    webhook.delete()


def _told(webhook: Webhook) -> dict[str, Any]:
    return {"name": webhook.name, "url": webhook.url, "events": list(webhook.events), "is_on": webhook.is_on}
