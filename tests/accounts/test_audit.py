"""The audit log: written with its act, chained, and open to moderators only."""

import ast
import re
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import translation

from accounts import audit_labels
from accounts.audit import record
from accounts.models import AuditEntry
from accounts.roles import Role
from feedback.webhooks.events import EVENTS, TEST
from tests.accounts.audit_faults import faults


@pytest.fixture
def entries(person):
    moderator = person("mod", Role.MODERATOR)
    with transaction.atomic():
        first = record(moderator, "reply.hide", moderator, reason="insults", after={"hidden": True})
        record(moderator, "reply.restore", moderator, reason="a quotation", undoes=first)
        record(None, "policy.promote", moderator)
    return list(AuditEntry.objects.order_by("id"))


@pytest.mark.django_db(transaction=True)
def test_refuses_to_write_outside_the_transaction_of_the_act(person):
    with pytest.raises(RuntimeError, match="transaction"):
        record(None, "reply.hide", person("mod"))
    assert not AuditEntry.objects.exists()


def test_an_act_that_fails_leaves_no_entry(person):
    user = person("mod")

    @transaction.atomic
    def act():
        record(user, "user.change", user)
        raise IntegrityError

    with pytest.raises(IntegrityError):
        act()
    assert not AuditEntry.objects.exists()


def test_the_chain_holds(entries):
    assert [entry.previous_hash for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
    assert faults() == []


def test_the_page_shows_and_filters(entries, person, browser_of):
    client = browser_of(person("other-mod", Role.MODERATOR))
    page = client.get("/audit-log/").content.decode()
    assert "seals intact" in page
    assert all(word in page for word in ("reply.hide", "reply.restore", "policy.promote", ">System<"))
    filtered = client.get("/audit-log/", {"verb": "reply.hide", "actor": "mod"}).content.decode()
    assert "insults" in filtered
    assert "a quotation" not in filtered
    assert "No entry matches" in client.get("/audit-log/", {"until": "2001-01-01"}).content.decode()


def test_the_page_says_when_somebody_tampered(entries, person, browser_of):
    AuditEntry.objects.filter(pk=entries[0].pk).update(reason="other words")
    page = browser_of(person("other-mod", Role.MODERATOR)).get("/audit-log/").content.decode()
    assert f"Entry {entries[0].sequence} was changed" in page


def test_nobody_can_change_it_in_the_admin(entries, person, browser_of):
    client = browser_of(person("boss", Role.ADMIN, is_staff=True, is_superuser=True))
    address = f"/admin/accounts/auditentry/{entries[0].pk}/"
    assert client.get(address + "change/").status_code == 200
    assert client.post(address + "change/", {"reason": "x"}).status_code == 403
    assert client.post(address + "delete/", {"post": "yes"}).status_code == 403
    assert client.get("/admin/accounts/auditentry/add/").status_code == 403


def test_what_an_admin_does_to_an_account_is_written_down(person, browser_of):
    boss = person("boss", Role.ADMIN, is_staff=True, is_superuser=True)
    target = person("sora")
    annotators = person("a", Role.ANNOTATOR).groups.get()
    data = {"username": "sora", "is_active": "on", "groups": [annotators.pk], "suspended_reason": "", "language": ""}
    response = browser_of(boss).post(f"/admin/accounts/user/{target.pk}/change/", data)
    assert response.status_code == 302
    verbs = {entry.verb: entry for entry in AuditEntry.objects.all()}
    assert verbs["user.change"].actor == boss
    assert verbs["user.roles"].after == {"groups": ["annotator"]}
    assert faults() == []


def test_every_act_has_words_and_every_word_an_act():
    kinds = {verb.partition(".")[0] for verb in audit_labels.ACTS}
    ours = [Path(app.path) for app in apps.get_app_configs() if Path(app.path).parent == settings.BASE_DIR]
    files = {path for app in ours for path in app.rglob("*.py")} - {Path(audit_labels.__file__)}
    nodes = [
        node for path in files for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
    ]
    texts = {str(node.value) for node in nodes}
    written = {text for text in texts if re.fullmatch(r"([a-z]+)\.[a-z_]+", text) and text.partition(".")[0] in kinds}
    no_acts = {"user.closed", "policy.gguf", *EVENTS, TEST}  # an event of sockets, a file, events of webhooks
    assert written - no_acts == set(audit_labels.ACTS)


def test_an_entry_is_told_in_words_and_one_of_a_former_site_as_it_was_written(person):
    with transaction.atomic(), translation.override("ko"):
        entry = record(None, "user.suspend", person("mod"))
        assert (entry.act, entry.target_name) == ("계정 정지", f"사용자 {entry.target.split(':')[1]}")
    former = AuditEntry(verb="reply.burn", target="gone.thing:3")
    assert (former.act, former.target_name) == ("reply.burn", "gone.thing:3")
