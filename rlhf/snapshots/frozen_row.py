"""A row of feedback with its line in a snapshot, and where its prompt comes from."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model

from feedback.models import Prompt
from rlhf.snapshots.leaks import Origin, origin

Line = dict[str, Any]
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class FrozenRow(Generic[Row]):
    """A row of feedback that may train, with its line and with what decides whether the line may be held out."""

    row: Row
    line: Line
    origin: Origin


def origin_of_prompt(prompt: Prompt) -> Origin:
    conversation = prompt.message.conversation_id if prompt.message is not None else None
    return origin(prompt.split, conversation, prompt.messages[prompt.preamble_turns :])
