"""Lower bounds of means over prompts at any level, from a mean, its standard error and the number of prompts. Pure.

Student's t over prompts, with one prompt more at the worst value. Without it, a sample in which a rare total loss
happened not to occur would claim too much; with it, the bound stays below the mean as often as it should at 40 to
160 prompts and levels down to 0.0005 for wins, ties and losses (tests/rlhf/release/test_bounds.py). A percentile
bootstrap has no such small levels. Valid by construction for every distribution are bets (Waudby-Smith & Ramdas 2023,
arXiv:2010.09686); they need the values of all prompts, and a fifth more of these for the same power.
"""

import math
from functools import lru_cache

STEPS = 200
TINY = 1e-300


def lower_bound(mean: float, se: float, n: int, level: float, worst: float = 0.0) -> float:
    """Exceeds the true mean with a probability of at most `level`; `worst` is the least value that a prompt can have.

    `se` is the sample's standard deviation over prompts divided by the root of their number.
    """
    squares = (n - 1) * n * se * se + n / (n + 1) * (mean - worst) ** 2
    shifted = (n * mean + worst) / (n + 1)
    return shifted - t_quantile(level, n) * math.sqrt(squares / n / (n + 1))


@lru_cache(maxsize=4096)
def t_quantile(tail: float, freedom: int) -> float:
    """What Student's distribution exceeds with that probability, above 0 and at most 1/2, by bisection."""
    low, high = 0.0, 1.0
    while _upper_tail(high, freedom) > tail:
        low, high = high, 2 * high
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _upper_tail(middle, freedom) > tail else (low, middle)
    return (low + high) / 2


def _upper_tail(t: float, freedom: int) -> float:
    """P(T > t) for t >= 0 (DLMF 8.17.22, the incomplete beta function by its continued fraction)."""
    a, b, x = freedom / 2, 0.5, freedom / (freedom + t * t)
    if x == 1.0:
        return 0.5
    logs = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):
        return math.exp(logs) * _fraction(a, b, x) / a / 2
    return (1 - math.exp(logs) * _fraction(b, a, 1 - x) / b) / 2


def _fraction(a: float, b: float, x: float) -> float:
    """1 / (1 + d1 / (1 + d2 / ...)) by Lentz's method."""
    value = c = 1.0
    d = 1 - (a + b) * x / (a + 1)
    d = 1 / (d or TINY)
    value = d
    for m in range(1, STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / ((1 + term * d) or TINY), (1 + term / c) or TINY
            value *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return value
