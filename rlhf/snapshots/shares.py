"""Weights of judgements in a snapshot, capped so that no person dominates it."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

Person = TypeVar("Person", bound=Hashable)

FAIR_SHARES = 2.0
SHARE_MIN = 0.02
"""Nobody weighs more than twice an equal share, or 2 % where that is more. A few hundred votes of one person can bend
a model; a cap of one equal share, on the other hand, would let the least active judge set the size of the data."""


def share_limit(people: int) -> float:
    return min(1.0, max(FAIR_SHARES / people, SHARE_MIN)) if people else 1.0


def weights(judgements: Mapping[Person, int]) -> dict[Person, float]:
    """Weight of each judgement of a person, at most 1, so that no person has more than `share_limit` of the sum."""
    limit = share_limit(len(judgements))
    busiest = sorted(judgements, key=lambda person: -judgements[person])
    rest = sum(judgements.values())
    total = float(rest)
    for capped, person in enumerate(busiest, start=1):
        if judgements[person] <= limit * total + 1e-9:
            break
        rest -= judgements[person]
        total = rest / (1 - capped * limit)
    most = limit * total
    return {person: min(1.0, round(most / count, 6)) if count > most else 1.0 for person, count in judgements.items()}
