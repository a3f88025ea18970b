"""Sparrow's combination of the preference score and the rules, by which the best of several completions is chosen."""

import math
from collections.abc import Sequence


def rank_scores(scores: Sequence[float], violations: Sequence[Sequence[float]]) -> list[float]:
    """The rank score, 0 to 1, of each of N completions of one prompt.

        e^r / (e^r + e^mean(r)) * (prod over the rules of (1 - P(violation)))^(1/rules)

    The first factor is the probability that people prefer the completion to one of the mean score; the second is
    the geometric mean of the probabilities that each rule is followed. Without rules the second is 1.

    Glaese et al. 2022 (arXiv:2209.14375), reranking. `scores` [N]: log odds, so that a difference of two is that of
    Bradley and Terry; only differences count. `violations` [N, R], each 0 to 1.
    """
    if not scores:
        return []
    mean = math.fsum(scores) / len(scores)
    pairs = zip(scores, violations, strict=True)
    return [_preferred(score - mean) * followed(broken) for score, broken in pairs]


def followed(violations: Sequence[float]) -> float:
    """The geometric mean of the probabilities that the rules are followed."""
    if not violations:
        return 1.0
    if max(violations) >= 1.0:
        return 0.0
    # By logarithms: a product of many small numbers would be 0 before its root is taken.
    return math.exp(math.fsum(math.log1p(-p) for p in violations) / len(violations))


def _preferred(margin: float) -> float:
    """1 / (1 + e^-margin), for margins of any size."""
    if margin >= 0:
        return 1.0 / (1.0 + math.exp(-margin))
    grown = math.exp(margin)
    return grown / (1.0 + grown)
