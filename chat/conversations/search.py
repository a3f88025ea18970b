"""Searches a person's conversations for titles and messages that contain all the words.

A conversation is found if its title, or one of its messages, contains every word, in any case and order. The
database reads this person's texts alone, so the cost grows with what they wrote and not with the site.
"""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce
from operator import or_
from uuid import UUID

from django.db.models import Max, Q, QuerySet

from chat.models import Conversation, Message

MAX_CHARS, MAX_WORDS = 200, 8
EXCERPT_CHARS, BEFORE_CHARS = 140, 40


@dataclass(frozen=True)
class TextSpan:
    """A part of a shown text, marked if it is one of the words."""

    text: str
    is_match: bool


@dataclass(frozen=True)
class Hit:
    """The newest message of a conversation that contains all the words."""

    message: int
    is_own: bool
    """Whether the person wrote it; else it is a reply."""
    parts: list[TextSpan]


@dataclass(frozen=True)
class SearchWords:
    """The words to search for."""

    words: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.words)

    def matches(self, field: str) -> Q:
        """Condition that the field contains all the words; Hangul also as decomposed letters, as in macOS."""
        condition = Q()
        for word in self.words:
            # Case-insensitive matching takes PostgreSQL ten times as long, and Hangul has no case.
            lookup = "icontains" if word.upper() != word.lower() else "contains"
            spellings = {word, unicodedata.normalize("NFD", word)}
            condition &= reduce(or_, (Q(**{f"{field}__{lookup}": spelling}) for spelling in sorted(spellings)))
        return condition

    def mark(self, text: str) -> list[TextSpan]:
        """The text as spans, every second of them one of the words."""
        pieces = re.split(f"({'|'.join(map(re.escape, self.words))})", text, flags=re.IGNORECASE)
        return [TextSpan(piece, index % 2 == 1) for index, piece in enumerate(pieces) if piece]

    def excerpt(self, text: str) -> list[TextSpan]:
        """A line of the text around the first word found in it."""
        line = " ".join(unicodedata.normalize("NFC", text).split())
        found = re.search("|".join(map(re.escape, self.words)), line, re.IGNORECASE)
        start = max(0, found.start() - BEFORE_CHARS) if found else 0
        end = start + EXCERPT_CHARS
        shown = ("… " if start else "") + line[start:end] + (" …" if end < len(line) else "")
        return self.mark(shown)


def words_of(query: str) -> SearchWords:
    """The words of what a person typed, without unprintable characters."""
    line = "".join(c if c.isprintable() else " " for c in unicodedata.normalize("NFC", query[:MAX_CHARS]))
    # Longest first, so that of two words that begin alike the longer one is marked.
    return SearchWords(tuple(sorted(set(line.split()), key=lambda word: (-len(word), word))[:MAX_WORDS]))


def find(conversations: QuerySet[Conversation], words: SearchWords) -> dict[UUID, int | None]:
    """Conversations that contain the words, latest first, each with its newest message that does.

    None where only the title does. The texts are read once, however much is found.
    """
    matching = Message.objects.filter(words.matches("text"), conversation__in=conversations, hidden_at=None)
    shown = matching.exclude(role=Message.Role.SYSTEM).order_by().values("conversation_id")
    newest: dict[UUID, int] = dict(shown.annotate(newest=Max("pk")).values_list("conversation_id", "newest"))
    titled = set(conversations.filter(words.matches("title")).order_by().values_list("pk", flat=True))
    ordered = conversations.order_by("-updated_at").values_list("pk", flat=True)
    return {pk: newest.get(pk) for pk in ordered if pk in newest or pk in titled}


def hits(newest: Collection[int | None], words: SearchWords) -> dict[UUID, Hit]:
    """Hits of these messages by their conversation."""
    messages = Message.objects.filter(pk__in=[pk for pk in newest if pk is not None])
    return {
        message.conversation_id: Hit(message.pk, message.role == Message.Role.USER, words.excerpt(message.text))
        for message in messages
    }
