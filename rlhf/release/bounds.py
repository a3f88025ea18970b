"""Lower bounds of means over prompts at any level, from a mean, its standard error and the number of prompts. Pure.

Student's t over prompts, with one prompt more at the worst value. Without it, a sample in which a rare total loss
happened not to occur would claim too much; with it, the bound stays below the mean as often as it should at 40 to
160 prompts and levels down to 0.0005 for wins, ties and losses (tests/rlhf/release/test_bounds.py). A percentile
bootstrap has no such small levels. Valid by construction for every distribution are bets (Waudby-Smith & Ramdas 2023,
arXiv:2010.09686); they need the values of all prompts, and a fifth more of these for the same power.
"""

import math


def lower_bound(mean: float, se: float, n: int, level: float, worst: float = 0.0) -> float:
    """Exceeds the true mean with a probability of at most `level`; `worst` is the least value that a prompt can have.

    `se` is the sample's standard deviation over prompts divided by the root of their number.
    """
    from scipy.special import stdtrit  # inside: pages that only show a bound shall not load it

    squares = (n - 1) * n * se * se + n / (n + 1) * (mean - worst) ** 2
    shifted = (n * mean + worst) / (n + 1)
    return shifted + float(stdtrit(n, level)) * math.sqrt(squares / n / (n + 1))
