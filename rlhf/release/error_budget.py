"""How likely a candidate that is no better may pass at each decision, so that few ever do over a site's life. Pure.

LORD++ (Ramdas, Yang, Wainwright & Jordan 2017, arXiv:1710.00499, section 3.2): of all promotions, the expected share
of candidates that are no better stays below `total` however many decisions are made, and before the first promotion
the chance of any. Each decision spends a part of what is left; each promotion earns anew. Deviation: the series by
which it is spent is j^-1.6, steeper than the paper's, since a site decides tens of times and not a million.
"""

from collections.abc import Callable, Sequence

EXPONENT = 1.6
ZETA = 2.2857656656801293
"""Riemann's zeta function at EXPONENT, so that the series sums to 1."""
Series = Callable[[int], float]


def spent(j: int) -> float:
    """The share of what was earned that is spent at the j-th decision after it, j from 1."""
    return float(j**-EXPONENT) / ZETA


def level(past: Sequence[bool], total: float, series: Series = spent) -> float:
    """The level of the next decision; `past` says of each decision so far whether the candidate passed."""
    now, first = len(past) + 1, total / 2
    passed = [number for number, did in enumerate(past, start=1) if did]
    earned = sum(total * series(now - number) for number in passed[1:])
    if passed:
        earned += (total - first) * series(now - passed[0])
    return first * series(now) + earned
