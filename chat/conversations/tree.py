"""The tree of a conversation's messages, and the path through it that is open."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from chat.models import Conversation, Message


@dataclass(frozen=True)
class Tree:
    parents: Mapping[int, int | None]
    """Message to its parent, oldest first: a message is always newer than its parent."""

    def path(self, tip: int | None) -> list[int]:
        """From the first message to the tip."""
        path: list[int] = []
        while tip is not None and tip in self.parents:
            path.append(tip)
            tip = self.parents[tip]
        return path[::-1]

    def newest_below(self, message: int) -> int:
        """The newest descendant of the message, or itself: where somebody wrote last."""
        below, newest = {message}, message
        for pk, parent in self.parents.items():
            if parent in below:
                below.add(pk)
                newest = pk
        return newest

    def siblings(self, message: int) -> list[int]:
        """The message and the others of its parent, oldest first; new ones are added at the end."""
        return [pk for pk, parent in self.parents.items() if parent == self.parents[message]]

    def open_path(self, tip: int | None) -> list[int]:
        """The path that a page shows: through the tip to the newest message below it, or to the newest of all."""
        if tip is None or tip not in self.parents:
            tip = max(self.parents, default=None)
            return self.path(tip)
        return self.path(self.newest_below(tip))


def tree_of(conversation_id: UUID) -> Tree:
    rows = Message.objects.filter(conversation_id=conversation_id).exclude(role=Message.Role.SYSTEM).order_by("pk")
    return Tree(dict(rows.values_list("pk", "parent_id")))


def open_at(conversation: Conversation, message: int) -> int:
    """Opens the path through the message to the newest one below it, and stores it; returns its tip.

    Raises KeyError for a message of another conversation.
    """
    tree = tree_of(conversation.pk)
    if message not in tree.parents:
        raise KeyError(message)
    tip = tree.newest_below(message)
    Conversation.objects.filter(pk=conversation.pk).update(tip=tip)
    return tip
