"""What a reward model has to beat on pairs: that the longer reply wins, and a linear model of the words in it."""

import re
import zlib
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
RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Of a linear head on the base's features, per pair: there are more features than pairs."""
LEAST_USES = 3
"""Replies in which a word has to occur."""


class Pair(NamedTuple):
    better: str
    worse: str
    prompt: str
    """By which pairs belong together."""
    place: tuple[str, int, int] = ("", 0, 0)
    """The ranking's id, and which of its replies are the better and the worse one."""


def pairs_of(lines: Sequence[dict[str, Any]]) -> list[Pair]:
    """Without ties, and without two replies of one text."""
    found = []
    for line in lines:
        texts, key = [reply["text"] for reply in line["completions"]], str(line["prompt"])
        for one, other in combinations(range(len(texts)), 2):
            if line["ranks"][one] != line["ranks"][other] and texts[one] != texts[other]:
                better, worse = (one, other) if line["ranks"][one] < line["ranks"][other] else (other, one)
                found.append(Pair(texts[better], texts[worse], key, (str(line.get("id", "")), better, worse)))
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


def with_length(margins: Sequence[float], longer: Sequence[float], prompts: Sequence[str]) -> list[float]:
    """How a judge's margins do with the length beside them: two weights, fitted on one half of the prompts and held
    against the other, and the other way round."""
    x = np.array([margins, longer]).T
    x = x / x.std(axis=0).clip(1e-9)
    halves = np.array([zlib.crc32(prompt.encode()) % 2 for prompt in prompts])
    found = np.zeros(len(x))
    for half in (0, 1):
        found[halves == half] = x[halves == half] @ _fit(x[halves != half])
    return [0.5 if margin == 0 else float(margin > 0) for margin in found]


def linear(x: Matrix, prompts: Sequence[str], asked: Matrix) -> Matrix:
    """Margins of `asked`, rows of (better - worse) like `x`, by logistic regression with a ridge that did best on
    quarters of the prompts of `x`, each held against the others."""
    _, _, axes = np.linalg.svd(x, full_matrices=False)  # rows fewer than columns: the same in fewer dimensions
    x, asked = x @ axes.T, asked @ axes.T
    quarters = np.array([zlib.crc32(prompt.encode()) % 4 for prompt in prompts])

    def right(ridge: float) -> float:
        sides = ((x[quarters != one], x[quarters == one]) for one in sorted(set(quarters)))
        return float(np.mean([float(np.sum(held @ _fit(rest, ridge) > 0)) for rest, held in sides if len(rest)]))

    margins: Matrix = asked @ _fit(x, max((one * len(x) for one in RIDGES), key=right))
    return margins


def _fit(x: Matrix, ridge: float = RIDGE) -> Matrix:
    """Weights from rows of (better - worse), with a ridge."""

    def loss(weights: Matrix) -> tuple[float, Matrix]:
        margins = x @ weights
        value = np.logaddexp(0, -margins).sum() + ridge / 2 * weights @ weights
        return float(value), -x.T @ expit(-margins) + ridge * weights

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
