"""Agreement of two rankings of the same completions: Kendall's tau-b, and the share of pairs in the same order."""

import math
from collections.abc import Sequence

import numpy as np


def tau_b(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Kendall's tau-b, which takes ties into account; None where either ranking ties everything.

    Kendall, The Treatment of Ties in Ranking Problems (1945).
    """
    signs_one, signs_other = _signs(one), _signs(other)
    untied = math.sqrt(np.abs(signs_one).sum() * np.abs(signs_other).sum())
    return float((signs_one * signs_other).sum() / untied) if untied else None


def pair_agreement(answer: Sequence[float], expected: Sequence[float]) -> float | None:
    """Share of the pairs that `expected` orders which `answer` orders alike, a tie counting half; None where
    `expected` ties everything."""
    signs_answer, signs_expected = _signs(answer), _signs(expected)
    decided = signs_expected != 0
    if not decided.any():
        return None
    return float(((signs_answer * signs_expected)[decided] + 1).mean() / 2)


def _signs(ranks: Sequence[float]) -> np.ndarray:
    """Of each pair of places, the first before the second: -1, 0 or 1."""
    values = np.asarray(ranks, dtype=np.float64)
    first, second = np.triu_indices(len(values), k=1)
    return np.sign(values[second] - values[first])
