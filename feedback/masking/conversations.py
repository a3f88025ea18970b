"""The masker of a conversation: made of all of its messages, so that a value has one mask in every prompt of it."""

from collections.abc import Iterator
from uuid import UUID

from chat.models import Message
from feedback.masking.masker import Masker


def masker_of(conversation: UUID) -> Masker:
    """What is hidden by a moderator or removed later keeps its numbers: masks are given by the order of messages."""
    return Masker(_texts(conversation))


def _texts(conversation: UUID) -> Iterator[str]:
    return Message.objects.filter(conversation=conversation).order_by("pk").values_list("text", flat=True).iterator()
