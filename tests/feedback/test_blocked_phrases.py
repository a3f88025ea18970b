"""Phrases that admins block: what the guard finds, and the page that adds and removes them."""

import pytest

from accounts.audit import broken_links
from accounts.models import AuditEntry
from chat import guards
from chat.errors import Blocked
from chat.models import Conversation
from feedback import blocked_phrases
from feedback.guards import PhraseGuard
from feedback.models import BlockedPhrase, Rule

FOUND = [
    ("ass", "You ass!"),
    ("ass", "ASS-kicking"),
    ("ass", "_ass_"),
    ("ass", "ass는"),
    ("ass", "\uff41\uff53\uff53"),  # full width
    ("a\u00ads\u00ads", "ass"),
    ("ass", "a\u200bss"),
    ("Straße", "STRASSE"),
    ("kill you", "I will KILL\n  you."),
    ("c++", "in c++20"),
    ("바보", "너는 바보야"),
    ("바보", "이바보는"),
    ("죽여 버린다", "죽여버린다!"),
    ("바보", "바보"),  # decomposed
    ("馬鹿", "この馬鹿者"),
    (".*", "a .* b"),
]
NOT_FOUND = [
    ("ass", "a class, an assumption, assé"),
    ("ass", "as s"),
    ("kill you", "killyou"),
    ("kill you", "kill all of you"),
    ("바보", "바람이 보인다"),
    (".*", "anything"),
]


@pytest.fixture
def insults(seeds):
    return Rule.objects.get(key="no-insults")


@pytest.fixture
def room(person):
    return Conversation(owner=person("ch"))


def block(rule, phrase, **options):
    return BlockedPhrase.objects.create(rule=rule, phrase=phrase, **options)


@pytest.mark.parametrize(("phrase", "text"), FOUND)
def test_a_phrase_is_found(insults, room, phrase, text):
    block(insults, phrase)
    for check in (guards.check_message, guards.check_reply):
        with pytest.raises(Blocked) as refusal:
            check(text, room)
        assert refusal.value.guard == "no-insults"


@pytest.mark.parametrize(("phrase", "text"), NOT_FOUND)
def test_something_like_it_is_not(insults, room, phrase, text):
    block(insults, phrase)
    guards.check_message(text, room)
    guards.check_reply(text, room)


def test_a_phrase_holds_where_it_is_meant_to_and_while_it_and_its_rule_are_on(insults, room):
    block(insults, "only here", in_replies=False)
    block(insults, "only there", in_messages=False)
    block(insults, "not now", is_on=False)
    guards.check_reply("only here", room)
    guards.check_message("only there", room)
    guards.check_message("not now", room)
    with pytest.raises(Blocked):
        guards.check_message("only here", room)
    with pytest.raises(Blocked):
        guards.check_reply("only there", room)
    Rule.objects.filter(pk=insults.pk).update(is_on=False)
    guards.check_message("only here", room)
    guards.check_reply("only there", room)


def test_the_refusal_names_the_rule_in_the_readers_language(insults, room):
    from django.utils import translation

    block(insults, "ass")
    with pytest.raises(Blocked) as refusal:
        guards.check_message("ass", room)
    version = insults.versions.first()
    for language, name in (("en", version.name_en), ("ko", version.name_ko)):
        with translation.override(language):
            assert f"“{name}”" in str(refusal.value.message)
            assert guards.name_of("no-insults") == name


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
    assert broken_links() == []


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


def test_the_guard_is_among_those_that_the_settings_name(settings):
    assert any(isinstance(guard, PhraseGuard) for guard in guards.guards())


def test_phrases_are_read_once_for_many_checks_and_again_after_a_while(
    admin, insults, monkeypatch, django_assert_num_queries
):
    guard, conversation = PhraseGuard(), Conversation(owner=admin)
    guard.check_reply("a dunce", conversation)
    monkeypatch.setattr("feedback.guards.CACHED_FOR_S", 60.0)
    blocked_phrases.add(insults, "dunce", in_messages=True, in_replies=True, actor=admin)
    with django_assert_num_queries(0):
        guard.check_reply("a dunce", conversation)
    monkeypatch.setattr("feedback.guards.CACHED_FOR_S", 0.0)
    with pytest.raises(Blocked):
        guard.check_reply("a dunce", conversation)
