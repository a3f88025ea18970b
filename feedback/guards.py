"""The guard that blocks phrases which admins listed: whole words, in any case, in messages and in replies.

In languages that put spaces between words only whole words match: the phrase "ass" does not match "class". Korean,
Chinese and Japanese attach endings to words or write no spaces, so there a phrase also matches inside longer words.
Width, case, invisible characters and the kind of white space make no difference.
"""

import math
import re
import time
import unicodedata
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise

from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _

from chat.errors import Blocked, Text
from chat.guards import Guard
from chat.models import Conversation
from feedback.models import BlockedPhrase, RuleVersion

UNSPACED = "\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff"
"""Hangul, kana, Chinese characters."""
CACHED_FOR_S = 1.0
LETTER = rf"[^\W_{UNSPACED}]"


class PhraseScope(StrEnum):
    """What a phrase is blocked in: the column of BlockedPhrase that says so."""

    MESSAGES = "in_messages"
    REPLIES = "in_replies"


_cache: dict[PhraseScope, tuple[float, tuple[tuple[str, str], ...]]] = {}


class PhraseGuard(Guard):
    def check_message(self, text: str, conversation: Conversation) -> None:
        if key := _first_broken(text, PhraseScope.MESSAGES):
            raise Blocked(key, "a phrase in a message", self._words(key))

    def check_reply(self, text: str, conversation: Conversation) -> None:
        if key := _first_broken(text, PhraseScope.REPLIES):
            raise Blocked(key, "a phrase in a reply")

    def name_of(self, key: str) -> Text | None:
        version = RuleVersion.objects.filter(rule__key=key).order_by("-number").first()
        return lazy(lambda: version.name, str)() if version else None

    def _words(self, key: str) -> Text:
        name = self.name_of(key) or key
        words = _("The message contains a phrase blocked by the rule “%(name)s”. Rephrase it and send it again.")
        return lazy(lambda: str(words) % {"name": name}, str)()


def _first_broken(text: str, scope: PhraseScope) -> str:
    """The key of the first rule with a blocked phrase in the text; empty if there is none."""
    phrases = _in_force(scope)
    folded = normalise(text) if phrases else ""
    for key, pattern in _patterns(phrases):
        if pattern.search(folded):
            return key
    return ""


def _in_force(scope: PhraseScope) -> tuple[tuple[str, str], ...]:
    """(rule key, phrase) of each blocked phrase, read at most every CACHED_FOR_S, since each reply is checked often.

    A change is in force within that time in every process.
    """
    read_at, phrases = _cache.get(scope, (-math.inf, ()))
    if time.monotonic() - read_at >= CACHED_FOR_S:
        rows = BlockedPhrase.objects.filter(**{scope: True}, is_on=True, rule__is_on=True)
        ordered = rows.order_by("rule__position", "rule_id", "pk")
        read_at, phrases = time.monotonic(), tuple(ordered.values_list("rule__key", "phrase"))
        _cache[scope] = read_at, phrases
    return phrases


def normalise(text: str) -> str:
    """Folded for comparison: width and case are made equal, invisible characters removed."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in folded if unicodedata.category(character) != "Cf")


@lru_cache(maxsize=8)
def _patterns(phrases: tuple[tuple[str, str], ...]) -> list[tuple[str, re.Pattern[str]]]:
    """One pattern per rule, in the order of the phrases; cached, since phrases change rarely."""
    by_rule: dict[str, list[str]] = {}
    for key, phrase in phrases:
        by_rule.setdefault(key, []).append(_pattern_of(phrase))
    return [(key, re.compile("|".join(alternatives))) for key, alternatives in by_rule.items()]


def _pattern_of(phrase: str) -> str:
    words = normalise(phrase).split()
    pattern = re.escape(words[0])
    for before, word in pairwise(words):
        loose = re.fullmatch(rf"[{UNSPACED}]{{2}}", before[-1] + word[0])  # Korean is spaced as people please
        pattern += (r"\s*" if loose else r"\s+") + re.escape(word)
    start = rf"(?<!{LETTER})" if re.match(LETTER, words[0]) else ""
    end = rf"(?!{LETTER})" if re.match(LETTER, words[-1][-1]) else ""
    return start + pattern + end
