"""A reply while it is written: its text, the chunks that are not stored yet, and what the guards have passed."""

import asyncio
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

from chat import guards
from chat.engines.engine import Piece, Token
from chat.models import Reply
from chat.queue.replies import Ending, NewChunk
from chat.talker.engine_pool import LoadedEngine


@dataclass(eq=False)
class Active:
    """A reply that the talker is writing."""

    reply: Reply
    loaded: LoadedEngine
    task: asyncio.Task[None] | None = None
    slots: int = 1
    """Of its engine that it takes: the completions that are written for it at once."""
    text: str = ""
    ends: list[int] = field(default_factory=list)
    """Where in the text each chunk ends that was given out to be stored; the first has number 1."""
    sentence_ends: list[int] = field(default_factory=lambda: [0])
    passed: int = 0
    """Characters that the guards have passed."""
    pieces: int = 0
    first_token_at: datetime | None = None
    ending: Ending | None = None
    tokens: list[Token] = field(default_factory=list)
    """With their log-probabilities, if those are recorded."""

    def __post_init__(self) -> None:
        if self.reply.prefix:  # its chunk is stored already
            self.text = self.reply.prefix
            self.ends = [len(self.text)]

    def take(self, piece: Piece) -> int:
        """Adds to the text; returns how many characters of it are ready to be checked."""
        self.tokens += piece.tokens
        if text := piece.text:
            self.first_token_at = self.first_token_at or timezone.now()
            self.pieces += 1
            self.text += text
            end = guards.checkable(self.text, self.sentence_ends[-1], len(self.text) - len(text))
            if end > self.sentence_ends[-1]:
                self.sentence_ends.append(end)
        return self.sentence_ends[-1]

    def next_chunks(self) -> list[NewChunk]:
        """The new text in chunks that end where sentences do, since a reply may have to be cut there."""
        start, length = self.ends[-1] if self.ends else 0, len(self.text)
        if start == length:
            return []
        after, before = bisect_right(self.sentence_ends, start), bisect_left(self.sentence_ends, length)
        chunks = []
        for end in [*self.sentence_ends[after:before], length]:
            self.ends.append(end)
            chunks.append(NewChunk(self.reply.pk, len(self.ends), self.text[start:end]))
            start = end
        return chunks

    def is_given_out(self) -> bool:
        return len(self.text) == (self.ends[-1] if self.ends else 0)

    def cut_to_passed(self) -> int | None:
        """Drops what the guards did not pass; returns how many chunks stay, None for all."""
        given_out = self.ends[-1] if self.ends else 0
        self.text = self.text[: max(self.passed, given_out)]
        self.tokens = []  # the page must not show tokens of text that was removed
        return None if self.passed >= given_out else bisect_right(self.ends, self.passed)
