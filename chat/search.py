"""Search over a person's conversations: which titles or messages hold all the words, and where.

A conversation is found if its title, or one of its messages, holds every word, in any case and order. The
database reads the texts of this person alone, so the cost grows with what they wrote and not with the site.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from uuid import UUID

from django.db.models import Max, Q, QuerySet

from chat.models import Conversation, Message

MAX_CHARS, MAX_WORDS = 200, 8
EXCERPT_CHARS, BEFORE_CHARS = 140, 40


@dataclass(frozen=True)
class Part:
    """A piece of a text that is shown, marked where it is one of the words."""

    text: str
    is_match: bool


@dataclass(frozen=True)
class Hit:
    """The newest message of a conversation that holds all the words."""

    message: int
    is_own: bool
    """Whether the person wrote it; else it is a reply."""
    parts: list[Part]


@dataclass(frozen=True)
class Wanted:
    """What is looked for, as words."""

    words: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.words)

    def held_by(self, field: str) -> Q:
        """All the words in that field; Hangul as syllables, or as the letters that macOS puts into file names."""
        condition = Q()
        for word in self.words:
            spellings = {word, unicodedata.normalize("NFD", word)}
            condition &= reduce(or_, (Q(**{f"{field}__icontains": spelling}) for spelling in sorted(spellings)))
        return condition

    def mark(self, text: str) -> list[Part]:
        """The text in parts, every second of them one of the words."""
        pieces = re.split(f"({'|'.join(map(re.escape, self.words))})", text, flags=re.IGNORECASE)
        return [Part(piece, index % 2 == 1) for index, piece in enumerate(pieces) if piece]

    def excerpt(self, text: str) -> list[Part]:
        """A line of the text around the first of the words that it holds."""
        line = " ".join(unicodedata.normalize("NFC", text).split())
        found = re.search("|".join(map(re.escape, self.words)), line, re.IGNORECASE)
        start = max(0, found.start() - BEFORE_CHARS) if found else 0
        end = start + EXCERPT_CHARS
        shown = ("… " if start else "") + line[start:end] + (" …" if end < len(line) else "")
        return self.mark(shown)


def wanted(query: str) -> Wanted:
    """The words of what a person typed, without what no text can hold."""
    line = "".join(c if c.isprintable() else " " for c in unicodedata.normalize("NFC", query[:MAX_CHARS]))
    # Longest first, so that of two words that begin alike the longer one is marked.
    return Wanted(tuple(sorted(set(line.split()), key=lambda word: (-len(word), word))[:MAX_WORDS]))


def narrow(conversations: QuerySet[Conversation], words: Wanted) -> QuerySet[Conversation]:
    """Those of the conversations that hold the words."""
    holding = _messages(words).filter(conversation__in=conversations).values("conversation_id")
    return conversations.filter(words.held_by("title") | Q(pk__in=holding))


def hits(conversations: Collection[UUID], words: Wanted) -> Mapping[UUID, Hit]:
    """Where each of these conversations holds the words, but for those that only their title found."""
    holding = _messages(words).filter(conversation__in=conversations)
    newest = holding.order_by().values("conversation_id").annotate(newest=Max("pk")).values_list("newest", flat=True)
    return {
        message.conversation_id: Hit(message.pk, message.role == Message.Role.USER, words.excerpt(message.text))
        for message in Message.objects.filter(pk__in=list(newest))
    }


def _messages(words: Wanted) -> QuerySet[Message]:
    return Message.objects.filter(words.held_by("text"), hidden_at=None).exclude(role=Message.Role.SYSTEM)
