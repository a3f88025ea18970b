"""Evidence that a mean is above a value, and bounds of it, which hold however often they are looked at. Pure.

The bettor of Waudby-Smith & Ramdas 2023 (arXiv:2010.09686, JRSS B 86(1), section 4): somebody bets at fair odds that
the next value, from 0 to 1, is above `mean`. If the mean of each value, given those before it, is at most `mean`, the
bettor's wealth exceeds w at any time in the future with a probability of at most 1 / w (Ville 1939), so wealth of
1 / level is evidence at that level, whenever one looks and however often. The wealth is the average over bettors who
each risk another share of what they have at each value (their section 5.6; as a uniform mixture Cover's universal
portfolio, cf. Orabona & Jun 2024, arXiv:2110.14099): no bet has to be tuned, and the order of the values does not
matter. Deviation: 100 shares in the middle of equal bins, none of which can lose all.
"""

import math
from collections.abc import Sequence

import numpy as np

SHARES = (np.arange(100) + 0.5) / 100
STEPS = 40
"""Halvings of an interval of length 1 at most."""
MOST = 1e9
"""More evidence is not told."""


def evidence_above(values: Sequence[float], mean: float) -> float:
    """The wealth of whoever bet that the mean of the values is above `mean`, 0 < mean < 1; 1 of no values."""
    if not values:
        return 1.0
    distinct, times = np.unique(np.asarray(values, dtype=float), return_counts=True)
    logs = np.log1p(SHARES[:, None] * (distinct / mean - 1.0)) @ times
    most = float(logs.max())
    return math.exp(min(most, math.log(MOST))) * float(np.exp(logs - most).mean())


def evidence_below(values: Sequence[float], mean: float) -> float:
    return evidence_above([1.0 - value for value in values], 1.0 - mean)


def lower_bound(values: Sequence[float], level: float) -> float:
    """Above the true mean with a probability of at most `level` in all the time that values come in."""
    low, high = 0.0, sum(values) / len(values) if values else 0.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if middle <= 0.0:
            return 0.0
        if evidence_above(values, middle) >= 1 / level:
            low = middle
        else:
            high = middle
    return low


def upper_bound(values: Sequence[float], level: float) -> float:
    return 1.0 - lower_bound([1.0 - value for value in values], level)
