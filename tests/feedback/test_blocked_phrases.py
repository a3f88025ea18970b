"""Phrases that admins block: added and removed by the page, each with an entry in the log."""

import pytest

from accounts.models import AuditEntry
from feedback import blocked_phrases
from feedback.models import BlockedPhrase, Rule
from tests.accounts.audit_faults import faults


@pytest.fixture
def insults(seeds):
    return Rule.objects.get(key="no-insults")


def block(rule, phrase, **options):
    return BlockedPhrase.objects.create(rule=rule, phrase=phrase, **options)


def test_adding_and_removing_is_in_the_log(insults, admin):
    added = blocked_phrases.add(insults, "  you   fool ", in_messages=True, in_replies=False, actor=admin)
    assert added.phrase == "you fool"
    blocked_phrases.remove(added, actor=admin)
    entries = AuditEntry.objects.filter(verb__startswith="rule.phrase").order_by("id")
    told = {"phrase": "you fool", "in_messages": True, "in_replies": False}
    assert [(e.verb, e.before, e.after) for e in entries] == [
        ("rule.phrase_add", {}, told),
        ("rule.phrase_remove", told, {}),
    ]
    assert faults() == []


@pytest.mark.parametrize(
    ("phrase", "code"),
    [("…", "empty"), ("\u200b", "empty"), ("FOOL", "known"), ("\uff46ool", "known"), ("x", "too_many")],
)
def test_what_can_not_be_a_phrase_is_refused(insults, admin, monkeypatch, phrase, code):
    monkeypatch.setattr(blocked_phrases, "MAX_PHRASES", 1)
    block(insults, "fool")
    with pytest.raises(blocked_phrases.PhraseRefused) as refusal:
        blocked_phrases.add(insults, phrase, in_messages=True, in_replies=True, actor=admin)
    assert refusal.value.code == code
    assert BlockedPhrase.objects.count() == 1


def test_the_page_adds_and_removes(insults, admin, signed_in):
    client = signed_in(admin)
    added = client.post("/rules/no-insults/phrases/add/", {"phrase": "you fool", "in_replies": "on"}, follow=True)
    phrase = BlockedPhrase.objects.get()
    assert (phrase.phrase, phrase.in_messages, phrase.in_replies) == ("you fool", False, True)
    assert "you fool" in added.content.decode()
    removed = client.post(f"/rules/no-insults/phrases/{phrase.pk}/remove/", follow=True)
    assert not BlockedPhrase.objects.exists()
    assert "no longer blocked" in removed.content.decode()
    assert client.post(f"/rules/no-insults/phrases/{phrase.pk}/remove/").status_code == 404


@pytest.mark.parametrize(
    "data", [{"phrase": "", "in_replies": "on"}, {"phrase": "fool"}, {"phrase": "!", "in_messages": "on"}]
)
def test_the_page_says_what_is_wrong_and_keeps_what_was_typed(insults, admin, signed_in, data):
    page = signed_in(admin).post("/rules/no-insults/phrases/add/", data)
    assert page.status_code == 400
    assert page.context["phrase_form"].errors
    assert page.context["phrase_form"]["phrase"].value() == data["phrase"]
    assert not BlockedPhrase.objects.exists()


def test_moderators_may_not(insults, moderator, signed_in):
    client = signed_in(moderator)
    assert client.post("/rules/no-insults/phrases/add/", {"phrase": "x", "in_replies": "on"}).status_code == 403
