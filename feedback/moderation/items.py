"""Items of the moderators' queue by kind and key, as addresses and forms name them."""

from dataclasses import dataclass
from typing import Any

from chat.models import Message
from feedback.models import Completion

Text = Message | Completion
MODELS: dict[str, type[Message] | type[Completion]] = {"message": Message, "completion": Completion}


@dataclass(frozen=True, order=True)
class ItemKey:
    kind: str
    """"message" or "completion"."""
    pk: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.pk}"

    @property
    def lookup(self) -> dict[str, Any]:
        """For the tables that have a column for each kind: reports, claims, notes."""
        return {f"{self.kind}_id": self.pk}


def key_of(text: Text) -> ItemKey:
    return ItemKey("message" if isinstance(text, Message) else "completion", text.pk)


def read(given: str) -> ItemKey | None:
    """The key in `kind:pk`; None if it is none."""
    kind, _colon, pk = given.partition(":")
    return ItemKey(kind, int(pk)) if kind in MODELS and pk.isascii() and pk.isdigit() and len(pk) < 19 else None


def from_columns(message: int | None, completion: int | None) -> ItemKey:
    """From the two columns of a row, one of which is set."""
    return ItemKey("message", message) if message is not None else ItemKey("completion", completion or 0)
