"""Sends what is due to webhooks: signed, with exponential backoff, and given up after a number of failures.

A delivery is a row; an attempt claims it by a conditional update, so that two workers do not send it at once and a
worker that dies leaves it to the next. It may arrive twice: its id stays the same, by which the receiver tells.
"""

import logging
import time
from datetime import timedelta

import httpx
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts import audit, notices
from accounts.roles import Role
from feedback.models import Webhook, WebhookDelivery
from feedback.webhooks import addresses, secrets
from feedback.webhooks.addresses import BadHookAddress
from feedback.webhooks.secrets import UnreadableSecret

log = logging.getLogger(__name__)
State = WebhookDelivery.State

TIMEOUT_S = 10.0
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(hours=6)
GROWTH = 4
MOST_ATTEMPTS = 9
"""The last about nineteen hours after the first: 5 s, 20 s, 80 s, 5 min, 21 min, 85 min, 5.7 h, 6 h and 6 h apart."""
CLAIMED_FOR = timedelta(seconds=60)
AT_ONCE = 50
BUDGET_S = 20.0
GONE = 410
"""By this status a receiver says that it wants nothing more."""


def send_due() -> int:
    """Of each webhook until one fails; how many arrived."""
    end, arrived, failing = time.monotonic() + BUDGET_S, 0, set[int]()
    due = WebhookDelivery.objects.filter(state=State.WAITING, next_at__lte=timezone.now(), webhook__is_on=True)
    for delivery in due.select_related("webhook").order_by("next_at", "pk")[:AT_ONCE]:
        if time.monotonic() > end:
            break
        if delivery.webhook_id not in failing and _claim(delivery):
            if _attempt(delivery):
                arrived += 1
            else:
                failing.add(delivery.webhook_id)
    return arrived


def send_now(delivery: WebhookDelivery) -> bool:
    """One that waits, whether its webhook is on or not; whether it arrived."""
    delivery.refresh_from_db()
    return delivery.state == State.WAITING and _claim(delivery) and _attempt(delivery)


def wait_after(attempts: int) -> timedelta:
    """Before the next attempt, after so many."""
    grown: timedelta = FIRST_WAIT * GROWTH ** min(attempts - 1, 20)
    return min(grown, LONGEST_WAIT)


def resend(delivery: WebhookDelivery) -> None:
    """Once more, now, with the same id and bytes, however it ended."""
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        state=State.WAITING, attempts=0, next_at=timezone.now(), ended_at=None
    )


def _attempt(delivery: WebhookDelivery) -> bool:
    """Sends it once and stores how that went."""
    status, error = _post(delivery)
    is_done = status is not None and 200 <= status < 300
    with transaction.atomic():
        if is_done:
            _ended(delivery, State.DELIVERED, status, "")
            Webhook.objects.filter(pk=delivery.webhook_id).update(failures=0)
        else:
            _failed(delivery, status, error)
    return is_done


def _claim(delivery: WebhookDelivery) -> bool:
    free = WebhookDelivery.objects.filter(pk=delivery.pk, state=State.WAITING, next_at=delivery.next_at)
    claimed = bool(free.update(next_at=timezone.now() + CLAIMED_FOR, attempts=F("attempts") + 1))
    if claimed:
        delivery.refresh_from_db(fields=["attempts", "next_at"])
    return claimed


def _post(delivery: WebhookDelivery) -> tuple[int | None, str]:
    """The status, or why there is none. Follows no redirect, uses no proxy, and reads no body."""
    body, at = delivery.body.encode(), int(time.time())
    try:
        target = addresses.check(delivery.webhook.url)
        signed = secrets.signature(secrets.decrypted(delivery.webhook.secret), delivery.key, at, body)
        headers = {
            "Host": target.authority,
            "Content-Type": "application/json",
            "User-Agent": "Chamsae-Webhook",
            "webhook-id": delivery.key,
            "webhook-timestamp": str(at),
            "webhook-signature": signed,
        }
        with (
            httpx.Client(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as client,
            client.stream(
                "POST", target.url, content=body, headers=headers, extensions={"sni_hostname": target.host}
            ) as answer,
        ):
            return answer.status_code, "" if answer.is_success else answer.reason_phrase[:200]
    except (BadHookAddress, UnreadableSecret, httpx.HTTPError, httpx.InvalidURL) as error:
        return None, (str(error) or type(error).__name__)[:500]


def _failed(delivery: WebhookDelivery, status: int | None, error: str) -> None:
    webhook = Webhook.objects.select_for_update().get(pk=delivery.webhook_id)
    webhook.failures += 1
    webhook.save(update_fields=["failures"])
    if delivery.attempts >= MOST_ATTEMPTS:
        _ended(delivery, State.FAILED, status, error)
    else:
        next_at = timezone.now() + wait_after(delivery.attempts)
        WebhookDelivery.objects.filter(pk=delivery.pk).update(status=status, error=error, next_at=next_at)
    if webhook.is_on and (status == GONE or webhook.failures >= settings.FEEDBACK_WEBHOOK_FAILURES):
        _disable(webhook, error or str(status))


def _ended(delivery: WebhookDelivery, state: State, status: int | None, error: str) -> None:
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        state=state, status=status, error=error, ended_at=timezone.now()
    )


def _disable(webhook: Webhook, why: str) -> None:
    """What waits is kept, and sent when an admin switches it on again."""
    Webhook.objects.filter(pk=webhook.pk).update(is_on=False, disabled_at=timezone.now())
    entry = audit.record(None, "webhook.disable", webhook, after={"failures": webhook.failures, "error": why})
    told = {"name": webhook.name, "failures": webhook.failures}
    admins = notices.people_of(Role.ADMIN).values_list("pk", flat=True)
    notices.send(
        notices.Kind.WEBHOOK_DISABLED,
        dict.fromkeys(admins, told),
        about=f"webhook:{entry.pk}",
        link=f"/webhooks/{webhook.pk}/",
    )
    log.warning("webhook %s was switched off after %s failures in a row: %s", webhook.pk, webhook.failures, why)


def remove_old() -> int:
    """Ended deliveries of more than a month ago."""
    before = timezone.now() - timedelta(days=30)
    return WebhookDelivery.objects.filter(ended_at__lt=before).delete()[0]
