"""Calibrates a judge's scores to probabilities by comparisons that it was not trained on, and carries its error on.

P(chosen) = sigmoid(slope * difference of the scores). The slope is the most likely one of comparisons whose order is
known, with Platt's targets (1999, section 2.2), so that it is finite where the judge was always right; a judge that
guesses has a slope about 0, a perverse one a slope below. What is computed with the slope (a win rate) gets an
interval from resampling the evaluation's prompts and the comparisons, both, each time with a slope of its own.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf.training.statistics.intervals import Interval, wider

DRAWS, SEED = 2000, 1
"""Another seed than that of the bootstrap over prompts, from which the slopes are drawn apart."""
AT_ONCE = 2_000_000
"""Weights in memory while slopes are fitted."""
Array: TypeAlias = NDArray[np.float64]
Whole: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Calibration:
    """Comparisons of known order: the score of the chosen reply less that of the other, prompt group and person."""

    margins: tuple[float, ...]
    groups: tuple[Hashable, ...]
    people: tuple[Hashable, ...]

    @cached_property
    def slope(self) -> float:
        return fit_slope(self.margins)

    @cached_property
    def slopes(self) -> list[Array]:
        """[DRAWS] slopes of resampled prompt groups, and where there are several people of resampled people."""
        found = [slope_draws(self.margins, self.groups)]
        return [*found, slope_draws(self.margins, self.people)] if len(set(self.people)) > 1 else found

    def interval(self) -> Interval:
        """Of the slope: the wider of both ways of resampling."""
        return _widest([_between(self.slope, draws) for draws in self.slopes])

    def mean(self, differences: Sequence[float], clusters: Sequence[Hashable]) -> Interval:
        """The mean probability that the first of two replies is preferred, from differences of scores; resampled by
        `clusters` (prompts) and by the comparisons that made the slope. Without a comparison nothing is known."""
        if not differences or not self.margins:
            return Interval(0.5 if differences else float("nan"), 0.0, 1.0)
        given = np.asarray(differences, dtype=np.float64)
        codes, size = _codes(clusters)
        picks = np.random.default_rng(0).integers(0, len(size), (DRAWS, len(size)))
        value = float(probabilities(given, self.slope).mean())
        return _widest([_between(value, _means(given, codes, size, picks, draws)) for draws in self.slopes])

    def error_of_slope(self, differences: Sequence[float], less: Sequence[float] = ()) -> float:
        """Standard deviation of the mean probability by the slope's error alone, the evaluation's prompts as they
        are: to be added in quadrature to an interval that knows of the prompts alone. With `less` of the mean of the
        first less that of these."""
        if not differences or not self.margins:
            return 0.5
        means = [_means_by_slope(draws, differences) for draws in self.slopes]
        if less:
            others = [_means_by_slope(draws, less) for draws in self.slopes]
            means = [ours - theirs for ours, theirs in zip(means, others, strict=True)]
        return max(float(of_draws.std()) for of_draws in means)


def probabilities(differences: Array, slope: float | Array) -> Array:
    """Stable for large differences of either sign."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * slope * differences)))


def fit_slope(margins: Sequence[float]) -> float:
    """0 where no margin tells anything."""
    given = np.asarray(margins, dtype=np.float64)
    return float(_fit(given, np.ones((1, len(given))))[0]) if len(given) else 0.0


def slope_draws(margins: Sequence[float], clusters: Sequence[Hashable]) -> Array:
    """[DRAWS] slopes, each of as many clusters as there are, drawn with replacement."""
    given = np.asarray(margins, dtype=np.float64)
    codes, size = _codes(clusters)
    picks = np.random.default_rng(SEED).integers(0, len(size), (DRAWS, len(size)))
    counts = np.zeros((DRAWS, len(size)))
    np.add.at(counts, (np.arange(DRAWS)[:, None], picks), 1.0)
    rows = max(1, AT_ONCE // len(given))
    parts = [_fit(given, counts[start : start + rows][:, codes]) for start in range(0, DRAWS, rows)]
    return np.concatenate(parts)


def _fit(margins: Array, weights: Array) -> Array:
    """Newton's method for weights [draws, n]: [draws]. From 0 each step falls short of the root and none beyond it,
    since the slope of the likelihood's derivative is steepest at 0."""
    scale = float(np.sqrt(np.mean(margins**2)))
    if scale == 0.0:
        return np.zeros(len(weights))
    x = margins / scale
    total = weights.sum(1, keepdims=True)
    target = (total + 1) / (total + 2)
    slope = np.zeros(len(weights))
    for _ in range(100):
        likely = 0.5 * (1.0 + np.tanh(0.5 * slope[:, None] * x))
        bend = (weights * likely * (1 - likely) * x**2).sum(1)
        step = np.divide((weights * (target - likely) * x).sum(1), bend, out=np.zeros_like(bend), where=bend > 0)
        slope = slope + step
        if np.abs(step).max() < 1e-12:
            break
    return np.asarray(slope / scale)


def _means(given: Array, codes: Whole, size: Array, picks: Whole, slopes: Array) -> Array:
    """[DRAWS]: the mean over the clusters of each draw, with that draw's slope."""
    members = np.zeros((len(given), len(size)))
    members[np.arange(len(given)), codes] = 1.0
    totals = np.concatenate([probabilities(given, part) @ members for part in _columns(slopes, len(given))])
    return np.asarray(np.take_along_axis(totals, picks, 1).sum(1) / size[picks].sum(1))


def _means_by_slope(slopes: Array, differences: Sequence[float]) -> Array:
    """[DRAWS] the mean probability by each slope."""
    given = np.asarray(differences, dtype=np.float64)
    return np.concatenate([probabilities(given, part).mean(1) for part in _columns(slopes, len(given))])


def _columns(slopes: Array, width: int) -> list[Array]:
    """[rows, 1] each, so that a matrix of `width` columns of them fits in memory."""
    rows = max(1, AT_ONCE // width)
    return [slopes[start : start + rows, None] for start in range(0, len(slopes), rows)]


def _codes(clusters: Sequence[Hashable]) -> tuple[Whole, Array]:
    """(number of each observation's cluster, in order of appearance; observations of each cluster)."""
    names = {name: index for index, name in enumerate(dict.fromkeys(clusters))}
    codes = np.array([names[cluster] for cluster in clusters], dtype=np.int64)
    return codes, np.bincount(codes, minlength=len(names)).astype(np.float64)


def _between(value: float, draws: Array) -> Interval:
    low, high = (float(bound) for bound in np.quantile(draws, [0.025, 0.975]))
    return Interval(value, low, high)


def _widest(found: Sequence[Interval]) -> Interval:
    widest = found[0]
    for other in found[1:]:
        widest = wider(widest, other)
    return widest
