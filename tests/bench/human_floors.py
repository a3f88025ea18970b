"""What a reward model has to beat on pairs: that the longer reply wins, and a linear model of the words in it."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

Matrix = np.ndarray[Any, np.dtype[np.float64]]
WORD = re.compile(r"[^\W_]+|[^\w\s]", re.UNICODE)
RIDGE = 1.0
LEAST_USES = 3
"""Replies in which a word has to occur."""


class Pair(NamedTuple):
    better: str
    worse: str
    prompt: str
    """By which pairs belong together."""


def pairs_of(lines: Sequence[dict[str, Any]]) -> list[Pair]:
    """Without ties, and without two replies of one text."""
    found = []
    for line in lines:
        texts, key = [reply["text"] for reply in line["completions"]], str(line["prompt"])
        for one, other in combinations(range(len(texts)), 2):
            if line["ranks"][one] != line["ranks"][other] and texts[one] != texts[other]:
                better, worse = (one, other) if line["ranks"][one] < line["ranks"][other] else (other, one)
                found.append(Pair(texts[better], texts[worse], key))
    return found


def longer_wins(pairs: Sequence[Pair]) -> list[float]:
    """1 where the longer one is the better, 1/2 where both are as long (characters)."""
    return [0.5 if len(p.better) == len(p.worse) else float(len(p.better) > len(p.worse)) for p in pairs]


def bag_of_words(trained: Sequence[Pair], held_out: Sequence[Pair]) -> list[float]:
    """Logistic regression without intercept on the difference of word presence, fitted on the trained pairs."""
    uses = Counter(word for pair in trained for text in pair[:2] for word in set(_words(text)))
    column = {word: index for index, word in enumerate(sorted(w for w, n in uses.items() if n >= LEAST_USES))}
    margins = _rows(held_out, column) @ _fit(_rows(trained, column))
    return [0.5 if margin == 0 else float(margin > 0) for margin in margins]


def _fit(x: Matrix) -> Matrix:
    """Weights of the words from rows of (better - worse), with a ridge."""

    def loss(weights: Matrix) -> tuple[float, Matrix]:
        margins = x @ weights
        value = np.logaddexp(0, -margins).sum() + RIDGE / 2 * weights @ weights
        return float(value), -x.T @ expit(-margins) + RIDGE * weights

    return np.asarray(minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x)


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def _rows(pairs: Sequence[Pair], column: dict[str, int]) -> Matrix:
    rows = np.zeros((len(pairs), len(column)))
    for row, pair in zip(rows, pairs, strict=True):
        for text, sign in ((pair.better, 1.0), (pair.worse, -1.0)):
            for word in set(_words(text)) & column.keys():
                row[column[word]] += sign
    return rows
