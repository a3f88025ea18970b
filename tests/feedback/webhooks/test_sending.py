"""Deliveries: what arrives and how it is signed, retries, giving up, switching off, and who is never named."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import AuditEntry, Notice
from accounts.roles import Role
from feedback.judgements import thumbs
from feedback.models import Webhook, WebhookDelivery
from feedback.moderation import actions
from feedback.webhooks import events, sending, setting_up
from tests.feedback.conversation_rows import talk
from tests.feedback.webhooks.receiver import receiving
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _private(settings):
    settings.FEEDBACK_WEBHOOK_PRIVATE = True


@pytest.fixture
def receiver():
    with receiving() as (made, url):
        made.url = url
        yield made


@pytest.fixture
def boss():
    return make_person("boss", Role.ADMIN)


@pytest.fixture
def hook(receiver, boss):
    made, secret = setting_up.add("watcher", receiver.url, events.EVENTS, by=boss)
    made.told = secret
    return made


def thumb_of(person):
    message = talk(person, "Hi", "Hello")[1]
    return thumbs.give(message, person, True, ["clear"])


def soon(hook):
    """As if the next attempts were due."""
    hook.deliveries.update(next_at=timezone.now() - timedelta(seconds=1))


def test_a_thumb_arrives_signed_and_without_a_name(receiver, hook):
    person = make_person("Hildegard")
    thumb = thumb_of(person)
    assert sending.send_due() == 1
    ((path, headers, body),) = receiver.got
    assert path == "/hook?of=us"
    key = base64.b64decode(hook.told.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - timezone.now().timestamp()) < 60
    sent = json.loads(body)
    assert sent["type"] == "thumb.given"
    assert sent["data"]["message"] == thumb.message_id
    assert "Hildegard" not in body.decode()
    assert len(sent["data"]["person"]) == 16
    assert sending.send_due() == 0
    assert WebhookDelivery.objects.get().state == "delivered"


def test_what_is_rolled_back_is_not_told(hook, receiver):
    person = make_person("chatter")
    with pytest.raises(thumbs.BadReason):
        thumbs.give(talk(person, "Hi", "Hello")[1], person, True, ["no reason"])
    assert WebhookDelivery.objects.count() == 0


def test_a_decision_tells_no_reason_and_no_name(hook, receiver):
    moderator, person = make_person("mod", Role.MODERATOR), make_person("Hildegard")
    actions.hide(talk(person, "Hi", "Hello")[1], moderator, "Hildegard was rude")
    (delivery,) = WebhookDelivery.objects.all()
    assert json.loads(delivery.body)["data"]["act"] == "text.hide"
    assert "Hildegard" not in delivery.body
    assert "mod" not in json.loads(delivery.body)["data"]["moderator"]


def test_an_event_that_nobody_asked_for_is_not_stored(receiver, boss):
    setting_up.add("promotions", receiver.url, [events.PROMOTION], by=boss)
    thumb_of(make_person("chatter"))
    assert WebhookDelivery.objects.count() == 0


def test_waits_grow_until_it_is_given_up():
    waits = [sending.wait_after(attempts).total_seconds() for attempts in range(1, sending.MOST_ATTEMPTS + 1)]
    assert waits == [5, 20, 80, 320, 1280, 5120, 20480, 21600, 21600]


def test_a_failure_is_tried_again_with_the_same_id_and_given_up_in_the_end(receiver, hook, settings):
    settings.FEEDBACK_WEBHOOK_FAILURES = 100
    receiver.status = 500
    thumb_of(make_person("chatter"))
    for attempt in range(1, sending.MOST_ATTEMPTS + 1):
        assert sending.send_due() == 0
        delivery = WebhookDelivery.objects.get()
        assert (delivery.attempts, delivery.status) == (attempt, 500)
        soon(hook)
    assert delivery.state == "failed"
    assert sending.send_due() == 0
    assert len(receiver.got) == sending.MOST_ATTEMPTS
    assert len({headers["webhook-id"] for _path, headers, _body in receiver.got}) == 1
    receiver.status = 204
    sending.resend(delivery)
    assert sending.send_due() == 1
    assert receiver.got[-1][2] == receiver.got[0][2]
    hook.refresh_from_db()
    assert hook.failures == 0


def test_an_attempt_that_is_not_due_waits(receiver, hook):
    receiver.status = 500
    thumb_of(make_person("chatter"))
    sending.send_due()
    sending.send_due()
    assert len(receiver.got) == 1


def test_after_failures_it_is_switched_off_and_admins_are_told_once(receiver, hook, settings, boss):
    settings.FEEDBACK_WEBHOOK_FAILURES = 3
    receiver.status = 503
    thumb_of(make_person("chatter"))
    for _ in range(5):
        sending.send_due()
        soon(hook)
    hook.refresh_from_db()
    assert (hook.is_on, hook.failures, len(receiver.got)) == (False, 3, 3)
    (notice,) = Notice.objects.filter(person=boss, kind="webhook_disabled")
    assert "watcher" in notice.text
    assert AuditEntry.objects.filter(verb="webhook.disable").count() == 1
    receiver.status = 200
    setting_up.change(hook, by=boss, is_on=True)
    assert sending.send_due() == 1, "what waited is sent"


def test_who_is_gone_is_not_asked_again(receiver, hook):
    receiver.status = 410
    thumb_of(make_person("chatter"))
    sending.send_due()
    hook.refresh_from_db()
    assert not hook.is_on


def test_no_redirect_is_followed(receiver, hook):
    receiver.status, receiver.headers = 302, {"Location": receiver.url}
    thumb_of(make_person("chatter"))
    assert sending.send_due() == 0
    assert len(receiver.got) == 1
    assert WebhookDelivery.objects.get().status == 302


def test_one_that_fails_does_not_hold_up_another(receiver, hook, boss):
    setting_up.add("dead", "http://localhost:9/", events.EVENTS, by=boss)
    person = make_person("chatter")
    thumb_of(person)
    thumb_of(person)
    assert sending.send_due() == 2
    assert WebhookDelivery.objects.filter(webhook__name="dead", attempts=1).count() == 1
    assert WebhookDelivery.objects.get(webhook__name="dead", attempts=1).error


def test_an_address_that_became_private_is_not_asked(receiver, hook, settings):
    settings.FEEDBACK_WEBHOOK_PRIVATE = False
    Webhook.objects.update(url=hook.url.replace("http:", "https:"))
    thumb_of(make_person("chatter"))
    assert sending.send_due() == 0
    assert receiver.got == []
    assert "private network" in WebhookDelivery.objects.get().error


def test_two_workers_send_it_once(receiver, hook):
    thumb_of(make_person("chatter"))
    seen = WebhookDelivery.objects.get()
    assert sending._claim(WebhookDelivery.objects.get())
    assert not sending._claim(seen)


def test_old_deliveries_are_removed(receiver, hook):
    thumb_of(make_person("chatter"))
    sending.send_due()
    assert sending.remove_old() == 0
    WebhookDelivery.objects.update(ended_at=timezone.now() - timedelta(days=31))
    assert sending.remove_old() == 1
