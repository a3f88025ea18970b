"""The difference of two shares that were measured on the same strata, with its interval.

Newcombe's hybrid score interval (Interval estimation for the difference between independent proportions, Statistics
in Medicine 17, 1998, method 10) of shares that are averaged over the strata, with the weights of Mantel and Haenszel
and as many observations as the average is worth: with one stratum it is Newcombe's own.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from rlhf.training.statistics.intervals import Z95, Interval, wilson

Counts = Mapping[str, tuple[float, int]]
"""By stratum: (successes, which may hold halves; observations)."""


class Weighed(NamedTuple):
    """A share averaged over strata, and how many observations of one share it is worth."""

    share: float
    n: float


def rise(of: Counts, over: Counts, z: float = Z95) -> Interval:
    """The share of `of` less that of `over`, over the strata that both have; (nan, -1, 1) without any."""
    common = [key for key in of if over.get(key, (0, 0))[1] > 0 and of[key][1] > 0]
    if not common:
        return Interval(math.nan, -1.0, 1.0)
    sizes = {key: of[key][1] * over[key][1] / (of[key][1] + over[key][1]) for key in common}
    weights = {key: size / sum(sizes.values()) for key, size in sizes.items()}
    ours, theirs = _weighed(of, weights), _weighed(over, weights)
    mine, other = (wilson(one.share * one.n, one.n, z) for one in (ours, theirs))
    value = ours.share - theirs.share
    low = value - math.hypot(ours.share - mine.low, other.high - theirs.share)
    high = value + math.hypot(mine.high - ours.share, theirs.share - other.low)
    return Interval(value, max(-1.0, low), min(1.0, high))


def _weighed(counts: Counts, weights: Mapping[str, float]) -> Weighed:
    share = sum(weight * counts[key][0] / counts[key][1] for key, weight in weights.items())
    return Weighed(share, 1 / sum(weight**2 / counts[key][1] for key, weight in weights.items()))
