"""A completion that a program reads while it is made: handed out only as far as the guards have let it pass.

From a page text can be taken back, from a program it cannot. So what the engine says is held until it was checked, at
the ends of sentences, and meanwhile at the ends of words, so that nobody waits long for the next piece.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from chat import guards
from chat.engines.engine import Piece
from chat.errors import Blocked

LONGEST_HOLD_S = 0.25
"""After so long the words that are whole are checked, though their sentence goes on."""
BLOCKED = "content_filter"
"""The finish reason of a completion that a guard ended; the others are the engine's."""


@dataclass(eq=False)
class Held:
    """One completion on its way from the engine to its reader."""

    check: Callable[[str], Awaitable[None]]
    """Asks the guards about all of the text so far. Raises Blocked."""
    text: str = ""
    """What the reader was given."""
    told: int = 0
    """Tokens, as the engine counted them at the end."""
    finish_reason: str = ""
    """Empty until it is over."""
    pieces: int = 0
    _said: str = ""
    _passed: int = 0
    _waiting: deque[Piece] = field(default_factory=deque)
    _checked_at: float = 0.0

    async def take(self, piece: Piece) -> list[Piece]:
        """What may be handed out now, by `give`; the last piece of the completion bears its finish reason."""
        if self.finish_reason:  # a guard ended it, and the engine goes on
            return []
        self._waiting.append(piece)
        self._said += piece.text
        self.pieces += bool(piece.text)
        end = len(self._said) if piece.finish_reason else self._checkable()
        if end > self._passed:
            try:
                await self.check(self._said[:end])
            except Blocked:
                return self._cut()
            self._passed, self._checked_at = end, time.monotonic()
        return self._ready()

    def _checkable(self) -> int:
        end = guards.checkable(self._said, self._passed)
        if end > self._passed or time.monotonic() - self._checked_at < LONGEST_HOLD_S:
            return end
        return max(self._said.rfind(" "), self._said.rfind("\n"), self._passed - 1) + 1

    def _ready(self) -> list[Piece]:
        """Whole pieces within what has passed: what an engine tells of a token belongs to all of its text."""
        ready, end = [], len(self.text)
        while self._waiting and end + len(self._waiting[0].text) <= self._passed:
            ready.append(self._waiting.popleft())
            end += len(ready[-1].text)
        return ready

    def _cut(self) -> list[Piece]:
        """The completion ends where the guards had let it pass."""
        ready = self._ready()
        index = self._waiting[0].index  # something has not passed, or nothing would be cut
        rest = self._passed - len(self.text) - sum(len(piece.text) for piece in ready)
        begun = [replace(self._waiting[0], text=self._waiting[0].text[:rest], tokens=())] if rest else []
        self._waiting.clear()
        return [*ready, *begun, Piece("", BLOCKED, index=index)]

    def give(self, piece: Piece) -> Piece:
        """Notes that the reader gets the piece now."""
        self.text += piece.text
        if piece.finish_reason:
            self.finish_reason, self.told = piece.finish_reason, piece.completion_tokens
        return piece
