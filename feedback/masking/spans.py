"""What is masked: kinds, and places in a text."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class MaskKind(StrEnum):
    """As the masks name them."""

    NAME = "NAME"
    ADDRESS = "ADDRESS"
    EMAIL = "EMAIL"
    PHONE = "PHONE"
    CARD = "CARD"
    ID_NUMBER = "ID_NUMBER"
    """Korean resident registration numbers and American social security numbers."""
    IP = "IP"


@dataclass(frozen=True)
class Span:
    start: int
    end: int
    kind: MaskKind


def without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """In the order of the text; of two that overlap, the one that begins first, then the longer one."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept
