"""The guard of blocked phrases: what it finds, where, and how soon a change is in force."""

import pytest

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
