"""How far answers lie apart: of orders, of numbers and of texts, each from 0 to 1. Plain data, without Django."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from itertools import combinations
from statistics import mean

LONGEST = 4000
"""Characters of a text that are compared: the time of it grows with their square."""


def of_orders(ranks: Sequence[Mapping[str, int]]) -> float:
    """Mean over pairs of items of 1 less how far one order of the two leads: the share of judges for the one, less
    that for the other; or less the share of ties, where that is larger. 0: all say the same; 1: nobody is in the
    majority.
    """
    items = sorted(ranks[0])
    signs = [[_sign(one[b] - one[a]) for one in ranks] for a, b in combinations(items, 2)]
    return mean(1 - max(abs(sum(row)), row.count(0)) / len(row) for row in signs) if signs else 0.0


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def of_numbers(values: Sequence[float], width: float) -> float:
    """The largest difference, as a share of the width of their scale; 0 of fewer than two."""
    return (max(values) - min(values)) / width if len(values) > 1 else 0.0


def of_texts(texts: Sequence[str]) -> float:
    """The largest distance of two of them: 1 less the share of characters in matching blocks (Ratcliff and Obershelp,
    as difflib has it)."""
    cut = [text[:LONGEST] for text in texts]
    ratios = [SequenceMatcher(None, one, other, autojunk=False).ratio() for one, other in combinations(cut, 2)]
    return 1 - min(ratios, default=1.0)
