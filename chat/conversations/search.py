"""Search over a person's conversations: which titles or messages hold all the words, and where.

A conversation is found if its title, or one of its messages, holds every word, in any case and order. The
database reads the texts of this person alone, so the cost grows with what they wrote and not with the site.
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
    """A piece of a text that is shown, marked where it is one of the words."""

    text: str
    is_match: bool


@dataclass(frozen=True)
class Hit:
    """The newest message of a conversation that holds all the words."""

    message: int
    is_own: bool
    """Whether the person wrote it; else it is a reply."""
    parts: list[TextSpan]


@dataclass(frozen=True)
class SearchWords:
    """What is looked for, as words."""

    words: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.words)

    def matches(self, field: str) -> Q:
        """All the words in that field; Hangul as syllables, or as the letters that macOS puts into file names."""
        condition = Q()
        for word in self.words:
            # Folding the case of every text costs PostgreSQL ten times the look itself, and Hangul has none.
            lookup = "icontains" if word.upper() != word.lower() else "contains"
            spellings = {word, unicodedata.normalize("NFD", word)}
            condition &= reduce(or_, (Q(**{f"{field}__{lookup}": spelling}) for spelling in sorted(spellings)))
        return condition

    def mark(self, text: str) -> list[TextSpan]:
        """The text in parts, every second of them one of the words."""
        pieces = re.split(f"({'|'.join(map(re.escape, self.words))})", text, flags=re.IGNORECASE)
        return [TextSpan(piece, index % 2 == 1) for index, piece in enumerate(pieces) if piece]

    def excerpt(self, text: str) -> list[TextSpan]:
        """A line of the text around the first of the words that it holds."""
        line = " ".join(unicodedata.normalize("NFC", text).split())
        found = re.search("|".join(map(re.escape, self.words)), line, re.IGNORECASE)
        start = max(0, found.start() - BEFORE_CHARS) if found else 0
        end = start + EXCERPT_CHARS
        shown = ("… " if start else "") + line[start:end] + (" …" if end < len(line) else "")
        return self.mark(shown)


def words_of(query: str) -> SearchWords:
    """The words of what a person typed, without what no text can hold."""
    line = "".join(c if c.isprintable() else " " for c in unicodedata.normalize("NFC", query[:MAX_CHARS]))
    # Longest first, so that of two words that begin alike the longer one is marked.
    return SearchWords(tuple(sorted(set(line.split()), key=lambda word: (-len(word), word))[:MAX_WORDS]))


def find(conversations: QuerySet[Conversation], words: SearchWords) -> dict[UUID, int | None]:
    """Those of the conversations that hold the words, the latest first, each with its newest message that does.

    None where only the title does. The texts are read once, however much is found.
    """
    holding = Message.objects.filter(words.matches("text"), conversation__in=conversations, hidden_at=None)
    told = holding.exclude(role=Message.Role.SYSTEM).order_by().values("conversation_id")
    newest: dict[UUID, int] = dict(told.annotate(newest=Max("pk")).values_list("conversation_id", "newest"))
    titled = set(conversations.filter(words.matches("title")).order_by().values_list("pk", flat=True))
    ordered = conversations.order_by("-updated_at").values_list("pk", flat=True)
    return {pk: newest.get(pk) for pk in ordered if pk in newest or pk in titled}


def hits(newest: Collection[int | None], words: SearchWords) -> dict[UUID, Hit]:
    """Of these messages, by their conversation, where they hold the words."""
    messages = Message.objects.filter(pk__in=[pk for pk in newest if pk is not None])
    return {
        message.conversation_id: Hit(message.pk, message.role == Message.Role.USER, words.excerpt(message.text))
        for message in messages
    }
