"""Adds and removes the phrases that a rule blocks, each with an audit entry."""

from django.db import transaction

from accounts.audit import record
from accounts.models import User
from feedback.guards import normalise
from feedback.models import BlockedPhrase, Rule

MAX_PHRASES = 500
"""Phrases of one rule; each is searched for in every sentence."""


class PhraseRefused(Exception):
    """The phrase cannot be added; `code` is `empty`, `known` or `too_many`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@transaction.atomic
def add(rule: Rule, phrase: str, *, in_messages: bool, in_replies: bool, actor: User) -> BlockedPhrase:
    """Raises PhraseRefused."""
    locked = Rule.objects.select_for_update().get(pk=rule.pk)
    phrase = " ".join(phrase.split())
    if not any(character.isalnum() for character in normalise(phrase)):
        raise PhraseRefused("empty")
    known = [normalise(text) for text in locked.phrases.values_list("phrase", flat=True)]
    if normalise(phrase) in known:
        raise PhraseRefused("known")
    if len(known) >= MAX_PHRASES:
        raise PhraseRefused("too_many")
    added = BlockedPhrase.objects.create(rule=locked, phrase=phrase, in_messages=in_messages, in_replies=in_replies)
    record(actor, "rule.phrase_add", locked, after=_as_json(added))
    return added


@transaction.atomic
def remove(phrase: BlockedPhrase, *, actor: User) -> None:
    record(actor, "rule.phrase_remove", phrase.rule, before=_as_json(phrase))
    phrase.delete()


def _as_json(phrase: BlockedPhrase) -> dict[str, object]:
    return {"phrase": phrase.phrase, "in_messages": phrase.in_messages, "in_replies": phrase.in_replies}
