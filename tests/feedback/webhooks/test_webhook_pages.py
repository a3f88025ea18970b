"""Pages and command of webhooks."""

import io
import json
import re

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry
from feedback.models import Webhook, WebhookDelivery
from feedback.webhooks import events, sending
from tests.feedback.webhooks.receiver import receiving

pytestmark = pytest.mark.django_db
FORM = {"name": "watcher", "events": ["thumb.given", "policy.promoted"]}


@pytest.fixture(autouse=True)
def _private(settings):
    settings.FEEDBACK_WEBHOOK_PRIVATE = True


@pytest.fixture
def page(admin, signed_in):
    return signed_in(admin)


def test_from_adding_to_removing_on_pages(page):
    with receiving() as (receiver, url):
        made = page.post("/webhooks/", {**FORM, "url": url}).content.decode()
        hook = Webhook.objects.get()
        assert "whsec_" in made
        assert "whsec_" not in page.get("/webhooks/").content.decode()
        assert hook.shown in page.get(f"/webhooks/{hook.pk}/").content.decode()
        page.post(f"/webhooks/{hook.pk}/test/")
        assert sending.send_due() == 1
        (row,) = hook.deliveries.all()
        assert row.key in page.get(f"/webhooks/{hook.pk}/").content.decode()
        page.post(f"/webhooks/deliveries/{row.pk}/resend/")
        assert sending.send_due() == 1
        assert len(receiver.got) == 2
    page.post(f"/webhooks/{hook.pk}/off/")
    hook.refresh_from_db()
    assert not hook.is_on
    page.post(f"/webhooks/{hook.pk}/", {"name": "other", "url": hook.url, "events": ["flag.made"]})
    hook.refresh_from_db()
    assert (hook.name, hook.events) == ("other", ["flag.made"])
    before = hook.secret
    assert "whsec_" in page.post(f"/webhooks/{hook.pk}/rotate/").content.decode()
    hook.refresh_from_db()
    assert hook.secret != before
    assert page.post(f"/webhooks/{hook.pk}/dance/").status_code == 404
    page.post(f"/webhooks/{hook.pk}/remove/")
    assert not Webhook.objects.exists()
    verbs = list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))
    assert verbs == [f"webhook.{verb}" for verb in ("add", "change", "change", "rotate", "remove")]
    assert not re.search(r"whsec_[^\\]{20}", json.dumps(list(AuditEntry.objects.values("before", "after"))))


def test_bad_values_are_refused_with_what_was_written(page, settings):
    settings.FEEDBACK_WEBHOOK_PRIVATE = False
    answer = page.post("/webhooks/", {**FORM, "url": "https://127.0.0.1/hook"})
    assert answer.status_code == 400
    assert "private network" in answer.content.decode()
    assert 'value="https://127.0.0.1/hook"' in answer.content.decode()
    assert page.post("/webhooks/", {**FORM, "url": "https://127.0.0.1/", "events": ["no.event"]}).status_code == 400
    assert not Webhook.objects.exists()


def test_only_admins_reach_them(moderator, signed_in):
    client = signed_in(moderator)
    for path in ("/webhooks/", "/webhooks/1/", "/webhooks/1/test/", "/webhooks/deliveries/1/resend/"):
        assert client.post(path).status_code == 403, path


def command(*words):
    out = io.StringIO()
    call_command("webhook", *words, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_the_command_does_the_same():
    with receiving() as (receiver, url):
        made = command("add", "watcher", "--url", url, "--event", events.THUMB)
        assert made["secret"].startswith("whsec_")
        assert command("test", "watcher")["state"] == "delivered"
        (row,) = command("log", "watcher")["deliveries"]
        assert command("resend", row["id"])["attempts"] == 1
        receiver.status = 500
        with pytest.raises(CommandError):
            command("test", "watcher")
        assert len(receiver.got) == 3
    assert command("off", "watcher")["is_on"] is False
    assert command("rotate", "watcher")["secret"] != made["secret"]
    assert [one["name"] for one in command("list")["webhooks"]] == ["watcher"]
    command("remove", "watcher")
    assert not WebhookDelivery.objects.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["add"],
        ["add", "x"],
        ["add", "x", "--url", "https://example.org"],
        ["test", "nobody"],
        ["resend", "msg_none"],
        ["add", "x", "--url", "https://example.org", "--event", "no.event"],
    ],
)
def test_what_the_command_cannot_do_changes_nothing(words):
    with pytest.raises(CommandError):
        call_command("webhook", *words)
    assert not Webhook.objects.exists()
