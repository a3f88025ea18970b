"""Finds the held-out lines of a snapshot that stand too near to lines that are trained on.

New rows fall on one side by themselves (feedback.splits). Those of earlier versions were divided message by message,
and a conversation can come to repeat another one later. Such held-out lines are left out, and not those that are
trained on: former policies have learned from these already.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from feedback.models import Prompt
from feedback.near_duplicates import Index, sketch


@dataclass(frozen=True)
class Origin:
    """What decides whether two lines belong together."""

    split: str
    conversation: UUID | None
    words: tuple[str, ...]
    """The turns of the user, without the examples of an assistant, which many conversations share."""

    @property
    def opening(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def whole(self) -> str:
        return "\n".join(self.words)


def origin(split: str, conversation: UUID | None, turns: Sequence[dict[str, Any]]) -> Origin:
    return Origin(str(split), conversation, tuple(turn["content"] for turn in turns if turn["role"] == "user"))


def leaks(origins: Collection[Origin]) -> set[Origin]:
    """The held-out ones of a conversation that is trained on, too, or with a near-duplicate of its opening or of all
    that its user said. One that goes on from a prompt that is trained on has the opening of that."""
    trained = {one for one in origins if one.split != Prompt.Split.HELD_OUT}
    conversations = {one.conversation for one in trained if one.conversation is not None}
    openings, wholes = (Index(map(sketch, words)) for words in _words(trained))
    return {
        one
        for one in origins
        if one.split == Prompt.Split.HELD_OUT
        and (
            one.conversation in conversations
            or openings.has_near(sketch(one.opening))
            or wholes.has_near(sketch(one.whole))
        )
    }


def _words(origins: Collection[Origin]) -> tuple[set[str], set[str]]:
    return {one.opening for one in origins}, {one.whole for one in origins}
