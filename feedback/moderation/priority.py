"""The order of the moderators' queue: one formula over severity, how right the reporters were before, and age."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

EARLIER = 4.0
"""Reports with which everybody begins, half of them upheld: a few decisions say little about a person."""
PER_DAY = 1.0
MOST_FOR_AGE = 3.0
"""So that nothing waits for ever, and yet a mild report of last week stays behind a grave one of today."""


@dataclass(frozen=True)
class Record:
    """How a person's earlier reports were decided; what they took back themselves does not count."""

    upheld: int = 0
    dismissed: int = 0

    @property
    def credibility(self) -> float:
        """Expected share of their reports that is upheld, 0..1: the mean of a beta distribution whose prior is
        EARLIER reports, half of them upheld (shrinkage to 1/2)."""
        return (self.upheld + EARLIER / 2) / (self.upheld + self.dismissed + EARLIER)

    @property
    def weight(self) -> float:
        """1 for a newcomer, almost 2 for who is always right, almost 0 for who never is."""
        return 2 * self.credibility


@dataclass(frozen=True)
class Priority:
    """The parts of an item's priority, each of which its page shows."""

    severity: float
    """Of the gravest rule that it is reported to break (feedback.rules.severity), 1..5."""
    reporters: float
    """Sum over the people who reported it of Record.weight."""
    age: float
    """0..MOST_FOR_AGE."""

    @property
    def total(self) -> float:
        return self.severity + self.reporters + self.age


def of(severity: float, records: Collection[Record], waited: timedelta) -> Priority:
    """priority = severity of the gravest rule + sum of the reporters' weights + min(days waited, MOST_FOR_AGE)

    One record a person, however often they reported the item. Discourse adds up the same three (the flags' type, who
    flags how accurately, and time); the shrinkage and the numbers are ours.
    """
    days = max(waited / timedelta(days=1), 0.0)
    return Priority(severity, sum(record.weight for record in records), min(PER_DAY * days, MOST_FOR_AGE))
