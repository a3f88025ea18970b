"""Weights of judgements, capped so that no person dominates what is learnt or estimated from them."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

Person = TypeVar("Person", bound=Hashable)

FAIR_SHARES = 2.0
SHARE_MIN = 0.02
"""Nobody weighs more than twice an equal share, or 2 % where that is more. A few hundred votes of one person can bend
a model; a cap of one equal share, on the other hand, would let the least active judge set the size of the data."""


def share_limit(people: int) -> float:
    return min(1.0, max(FAIR_SHARES / people, SHARE_MIN)) if people else 1.0


def weights(judgements: Mapping[Person, float]) -> dict[Person, float]:
    """Weight of each judgement of a person, at most 1, so that no person has more than `share_limit` of the sum.

    `judgements`: how many, or how much they weigh together already; whoever weighs nothing is not one of the people.
    """
    limit = share_limit(sum(count > 0 for count in judgements.values()))
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
