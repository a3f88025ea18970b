"""Prediction-powered inference for a mean: few true values, many predictions (Angelopoulos et al. 2023).

The mean of the predictions is corrected by how much they err where the truth is known, and the interval holds for any
predictions, however poor (arXiv:2301.09633, algorithm 1). How much weight they get is tuned to the narrowest interval
(PPI++, arXiv:2311.01453, section 6), so that useless predictions cost nothing. Deviations: the variance is of sums
over clusters, since replies to one prompt resemble each other, and the quantile is Student's, since the truth is
known of few.
"""

import math
from collections.abc import Hashable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf.training.statistics.intervals import Interval

CONFIDENCE = 0.975
"""On either side."""
Array: TypeAlias = NDArray[np.float64]


def ppi_mean(
    truth: Sequence[float],
    predicted: Sequence[float],
    unlabelled: Sequence[float],
    clusters: Sequence[Hashable],
    unlabelled_clusters: Sequence[Hashable],
    *,
    power: float | None = None,
) -> Interval:
    """95 % interval of the mean of the truth over all, labelled or not.

    `truth` and `predicted` are of the same n observations in `clusters`; `unlabelled` are predictions of others. A
    cluster may have both. `power` is the weight of the predictions (lambda of PPI++): 0 leaves them out, 1 is the
    plain method of 2023, None tunes it within 0..1. (nan, -inf, inf) where fewer than two clusters have the truth.
    """
    from scipy.special import stdtrit  # inside: pages that only show an interval shall not load it

    if len(set(clusters)) < 2:
        return Interval(math.nan, -math.inf, math.inf)
    y, f, u = (np.asarray(values, dtype=np.float64) for values in (truth, predicted, unlabelled))
    names = {name: index for index, name in enumerate(dict.fromkeys([*clusters, *unlabelled_clusters]))}
    of_truth = _sums(y, clusters, names)
    of_predictions = _sums(f, clusters, names) - _sums(u, unlabelled_clusters, names)
    weight = _tuned(of_truth, of_predictions) if power is None else power
    weight = weight if len(u) else 0.0
    value = float(y.mean() + weight * ((u.mean() if len(u) else 0.0) - f.mean()))
    error = math.sqrt(float(((of_truth - weight * of_predictions) ** 2).sum()))
    half = float(stdtrit(len(set(clusters)) - 1, CONFIDENCE)) * error
    return Interval(value, value - half, value + half)


def _sums(values: Array, clusters: Sequence[Hashable], names: dict[Hashable, int]) -> Array:
    """Each cluster's part of the error of the mean of `values`; the sum of squares is the variance of that mean."""
    found = np.zeros(len(names))
    if not len(values):
        return found
    np.add.at(found, [names[cluster] for cluster in clusters], values - values.mean())
    count = len(set(clusters))
    return found / len(values) * math.sqrt(count / max(1, count - 1))


def _tuned(of_truth: Array, of_predictions: Array) -> float:
    """The weight with the least variance: for independent observations Cov(y, f) / ((1 + n/N) Var(f))."""
    spread = float((of_predictions**2).sum())
    return min(1.0, max(0.0, float((of_truth * of_predictions).sum()) / spread)) if spread > 0 else 0.0
