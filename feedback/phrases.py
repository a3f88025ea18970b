"""The phrases that a rule's guard looks for: added and removed by admins, each with its entry in the log."""

from django.db import transaction

from accounts.audit import record
from accounts.models import User
from feedback.guards import normalised
from feedback.models import BlockedPhrase, Rule

MOST = 500
"""Phrases of one rule; every one is looked for in every sentence."""


class PhraseRefused(Exception):
    """What cannot be a phrase of the rule, by a code: `empty`, `known` or `too_many`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@transaction.atomic
def add(rule: Rule, phrase: str, *, in_messages: bool, in_replies: bool, actor: User) -> BlockedPhrase:
    """Raises PhraseRefused."""
    locked = Rule.objects.select_for_update().get(pk=rule.pk)
    phrase = " ".join(phrase.split())
    if not any(character.isalnum() for character in normalised(phrase)):
        raise PhraseRefused("empty")
    known = [normalised(text) for text in locked.phrases.values_list("phrase", flat=True)]
    if normalised(phrase) in known:
        raise PhraseRefused("known")
    if len(known) >= MOST:
        raise PhraseRefused("too_many")
    added = BlockedPhrase.objects.create(rule=locked, phrase=phrase, in_messages=in_messages, in_replies=in_replies)
    record(actor, "rule.phrase_add", locked, after=_told(added))
    return added


@transaction.atomic
def remove(phrase: BlockedPhrase, *, actor: User) -> None:
    record(actor, "rule.phrase_remove", phrase.rule, before=_told(phrase))
    phrase.delete()


def _told(phrase: BlockedPhrase) -> dict[str, object]:
    return {"phrase": phrase.phrase, "in_messages": phrase.in_messages, "in_replies": phrase.in_replies}
