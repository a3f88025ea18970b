"""A streamed completion of which a program gets only what the guards have passed.

Text can be taken back from a page, but not from a program. So the engine's text is buffered until it was checked: at
the ends of sentences and, in a long one, at the ends of words, so that nobody waits long for the next piece.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from chat import guards
from chat.engines.engine import Piece
from chat.errors import Blocked

MAX_BUFFERED_S = 0.25
"""After so long whole words are checked although their sentence goes on."""
BLOCKED = "content_filter"
"""The finish reason of a completion that a guard ended; the others are the engine's."""


@dataclass(eq=False)
class GuardedCompletion:
    """One completion on its way from the engine to its reader."""

    check: Callable[[str], Awaitable[None]]
    """Asks the guards about all of the text so far. Raises Blocked."""
    text: str = ""
    """What the reader was given."""
    engine_tokens: int = 0
    """As the engine counted them at the end."""
    finish_reason: str = ""
    """Empty until it is over."""
    pieces: int = 0
    _received: str = ""
    _passed: int = 0
    _buffer: deque[Piece] = field(default_factory=deque)
    _checked_at: float = 0.0

    async def take(self, piece: Piece) -> list[Piece]:
        """The pieces that may be sent now, through `give`; the last one of the completion has its finish reason."""
        if self.finish_reason:  # a guard ended it, and the engine goes on
            return []
        self._buffer.append(piece)
        self._received += piece.text
        self.pieces += bool(piece.text)
        end = len(self._received) if piece.finish_reason else self._checkable()
        if end > self._passed:
            try:
                await self.check(self._received[:end])
            except Blocked:
                return self._cut()
            self._passed, self._checked_at = end, time.monotonic()
        return self._ready()

    def _checkable(self) -> int:
        end = guards.checkable(self._received, self._passed)
        if end > self._passed or time.monotonic() - self._checked_at < MAX_BUFFERED_S:
            return end
        return max(self._received.rfind(" "), self._received.rfind("\n"), self._passed - 1) + 1

    def _ready(self) -> list[Piece]:
        """Whole pieces within what has passed, since the log-probabilities of a piece belong to all of its text."""
        ready, end = [], len(self.text)
        while self._buffer and end + len(self._buffer[0].text) <= self._passed:
            ready.append(self._buffer.popleft())
            end += len(ready[-1].text)
        return ready

    def _cut(self) -> list[Piece]:
        """Ends the completion where the guards blocked it."""
        ready = self._ready()
        index = self._buffer[0].index  # something has not passed, or nothing would be cut
        rest = self._passed - len(self.text) - sum(len(piece.text) for piece in ready)
        begun = [replace(self._buffer[0], text=self._buffer[0].text[:rest], tokens=())] if rest else []
        self._buffer.clear()
        return [*ready, *begun, Piece("", BLOCKED, index=index)]

    def give(self, piece: Piece) -> Piece:
        """Counts the piece as sent."""
        self.text += piece.text
        if piece.finish_reason:
            self.finish_reason, self.engine_tokens = piece.finish_reason, piece.completion_tokens
        return piece
