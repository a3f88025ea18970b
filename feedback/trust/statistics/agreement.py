"""Krippendorff's alpha with a bootstrap interval, prevalence, and agreement on what was found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 1000
CONFIDENCE = 0.95
ALPHA_RELIABLE = 0.8
ALPHA_TENTATIVE = 0.667
"""Krippendorff, Content Analysis: from 0.8 data are reliable, from 0.667 they allow tentative conclusions."""


@dataclass(frozen=True)
class AlphaInterval:
    """A figure with its interval of confidence; None where there is too little to tell."""

    value: float
    low: float | None
    high: float | None


def alpha(counts: Floats, values: Floats, level: str = "nominal") -> float | None:
    """Krippendorff's alpha. `counts`: (units, values), how many people gave the unit that value; `level`: nominal,
    ordinal or interval. None where no unit has two values, or all values are the same one.

    Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), C: any number of people, missing data.
    """
    return _alpha_of(_coincidences(counts).sum(axis=0), values, level)


def _coincidences(counts: Floats) -> Floats:
    """(units, values, values): pairs of values within each unit, divided by one less than the unit's values."""
    sizes = counts.sum(axis=1)
    usable = np.where(sizes > 1, sizes - 1, np.inf)
    ordered = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    ordered[:, diagonal, diagonal] -= counts
    return np.asarray(ordered / usable[:, None, None])


def alpha_interval(
    counts: Floats, values: Floats, clusters: NDArray[np.int64], level: str = "nominal", *, seed: int = 0
) -> AlphaInterval | None:
    """Alpha with its percentile bootstrap interval over clusters: units that stand or fall together, as the pairs of
    one task do. `clusters`: (units,), any integers."""
    by_unit = _coincidences(counts)
    value = _alpha_of(by_unit.sum(axis=0), values, level)
    if value is None:
        return None
    _ids, places = np.unique(clusters, return_inverse=True)
    by_cluster = np.zeros((places.max() + 1, *by_unit.shape[1:]))
    np.add.at(by_cluster, places, by_unit)
    found = _resampled(by_cluster, values, level, seed)
    if len(by_cluster) < 2 or not len(found):
        return AlphaInterval(value, None, None)
    tail = (1 - CONFIDENCE) / 2
    return AlphaInterval(value, float(np.quantile(found, tail)), float(np.quantile(found, 1 - tail)))


def _resampled(by_cluster: Floats, values: Floats, level: str, seed: int) -> Floats:
    """Alphas of the samples that have one. Clusters that are alike are drawn together, so that many of them cost no
    more than the kinds of them."""
    kinds, sizes = np.unique(by_cluster.reshape(len(by_cluster), -1), axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(sizes.sum(), sizes / sizes.sum(), size=RESAMPLES)
    found = _alphas((draws @ kinds).reshape(RESAMPLES, *by_cluster.shape[1:]), values, level)
    return found[~np.isnan(found)]


def _alpha_of(table: Floats, values: Floats, level: str) -> float | None:
    """`table`: (values, values), the coincidences of all units."""
    found = _alphas(table[None], values, level)[0]
    return None if np.isnan(found) else float(found)


def _alphas(tables: Floats, values: Floats, level: str) -> Floats:
    """`tables`: (samples, values, values); NaN where there is nothing to disagree about."""
    totals = tables.sum(axis=2)
    pairable = totals.sum(axis=1)
    distances = DISTANCES[level](values, totals)
    expected = (totals[:, :, None] * totals[:, None, :] * distances).sum(axis=(1, 2))
    observed = (pairable - 1) * (tables * distances).sum(axis=(1, 2))
    told = (pairable >= 2) & (expected > 0)
    return np.where(told, 1 - observed / np.where(told, expected, 1), np.nan)


def _nominal(values: Floats, _totals: Floats) -> Floats:
    return np.asarray(values[:, None] != values[None, :], dtype=np.float64)


def _ordinal(_values: Floats, totals: Floats) -> Floats:
    """Squared number of values that lie between two, half of both ends; `values` are in their order."""
    middle = np.cumsum(totals, axis=1) - totals / 2
    return np.asarray((middle[:, :, None] - middle[:, None, :]) ** 2)


def _interval(values: Floats, _totals: Floats) -> Floats:
    return np.asarray((values[:, None] - values[None, :]) ** 2)


DISTANCES: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "nominal": _nominal,
    "ordinal": _ordinal,
    "interval": _interval,
}


def prevalence(yes: Floats, asked: Floats) -> float | None:
    """Share of all answers that say yes. `yes`, `asked`: (units,), how many people said so, and were asked."""
    return float(yes.sum() / asked.sum()) if asked.sum() else None


def positive_agreement(yes: Floats, asked: Floats) -> float | None:
    """Of two people of whom one says yes, the probability that the other does: alpha is low for whatever is rare,
    even among people who are nearly always right. Spitzer and Fleiss (1974), for any number of people.

    Each unit weighs as many pairs as it has; units with fewer than two answers have none.
    """
    pairs = np.where(asked > 1, asked - 1, np.inf)
    both = (yes * (yes - 1) / pairs).sum()
    either = np.where(asked > 1, yes, 0).sum()
    return float(both / either) if either else None
