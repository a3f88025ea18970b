"""A reply while it is being written: its text, the chunks not yet stored, and what the guards have passed."""

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
    """A reply in the making."""

    reply: Reply
    loaded: LoadedEngine
    task: asyncio.Task[None] | None = None
    text: str = ""
    ends: list[int] = field(default_factory=list)
    """Where in the text each chunk ends that was handed to the database; the first has number 1."""
    sentence_ends: list[int] = field(default_factory=lambda: [0])
    passed: int = 0
    """How much of the text the guards let pass."""
    pieces: int = 0
    first_token_at: datetime | None = None
    ending: Ending | None = None
    tokens: list[Token] = field(default_factory=list)
    """With their log-probabilities, where those are to be kept."""

    def __post_init__(self) -> None:
        if self.reply.prefix:  # its chunk stands already
            self.text = self.reply.prefix
            self.ends = [len(self.text)]

    def take(self, piece: Piece) -> int:
        """Adds to the text; how much of it is ready to be checked."""
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
        """What is new, with the end of a chunk wherever a sentence ends: there a reply may have to be cut."""
        start, whole = self.ends[-1] if self.ends else 0, len(self.text)
        if start == whole:
            return []
        after, before = bisect_right(self.sentence_ends, start), bisect_left(self.sentence_ends, whole)
        chunks = []
        for end in [*self.sentence_ends[after:before], whole]:
            self.ends.append(end)
            chunks.append(NewChunk(self.reply.pk, len(self.ends), self.text[start:end]))
            start = end
        return chunks

    def is_handed_over(self) -> bool:
        return len(self.text) == (self.ends[-1] if self.ends else 0)

    def take_back(self) -> int | None:
        """Drops what the guards did not let pass; how many chunks stay, None for all."""
        handed = self.ends[-1] if self.ends else 0
        self.text = self.text[: max(self.passed, handed)]
        self.tokens = []  # what is taken back is not to be looked into, either
        return None if self.passed >= handed else bisect_right(self.ends, self.passed)
