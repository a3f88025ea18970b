"""What an import left out, in the reader's language: by reason, and line by line."""

from collections import Counter
from dataclasses import dataclass

from feedback.imports.reasons import LeftOutReason
from feedback.models import Import


@dataclass(frozen=True)
class LeftOutLine:
    line: int
    reason: str
    about: str


def listed(made: Import) -> list[LeftOutLine]:
    return [LeftOutLine(line, _label(reason), about) for line, reason, about in made.left_out]


def counted(made: Import) -> list[tuple[str, int]]:
    """Of those that are listed, the most frequent reason first."""
    return [(_label(reason), times) for reason, times in Counter(row[1] for row in made.left_out).most_common()]


def _label(reason: str) -> str:
    """Of a reason that only another version of the site knew, its key."""
    return str(LeftOutReason(reason).label) if reason in LeftOutReason.values else reason
