"""Intervals and ranks: Wilson, the bootstrap over prompts, and the area under the ROC curve."""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
PICKS_AT_ONCE = 5_000_000
Array: TypeAlias = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate with its 95 % bounds."""

    value: float
    low: float
    high: float


def wilson(successes: float, n: float, z: float = Z95) -> Interval:
    """Wilson's score interval of a share; `successes` may hold halves (ties). (nan, 0, 1) where n is 0."""
    if n <= 0:
        return Interval(math.nan, 0.0, 1.0)
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


class ClusterMean(NamedTuple):
    """A mean with its standard error over whole clusters (prompts); nan where there are fewer than two."""

    value: float
    se: float
    clusters: int


def cluster_mean(values: Sequence[float], clusters: Sequence[Hashable]) -> ClusterMean:
    """Of clusters of one size, the mean of their means; a ratio of means where sizes differ (linearised)."""
    sums: dict[Hashable, float] = defaultdict(float)
    sizes: dict[Hashable, int] = defaultdict(int)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value
        sizes[cluster] += 1
    n = len(sums)
    if n < 2:
        return ClusterMean(math.nan, math.nan, n)
    mean = sum(sums.values()) / sum(sizes.values())
    typical = sum(sizes.values()) / n
    squares = sum(((sums[key] - mean * sizes[key]) / typical) ** 2 for key in sums)
    return ClusterMean(mean, math.sqrt(squares / (n - 1) / n), n)


def cluster_bootstrap(
    values: Sequence[float], clusters: Sequence[Hashable], *, draws: int = 2000, seed: int = 0
) -> Interval:
    """Mean of `values` with percentile bounds from resampling whole clusters (prompts).

    Replies to one prompt resemble each other, so that an interval over single replies would be too narrow.
    A mean at 0 or 1 would get an interval of no width; there Wilson's over the clusters is the wider and is used.
    """
    if not values:
        return Interval(math.nan, 0.0, 1.0)
    sums: dict[Hashable, float] = defaultdict(float)
    sizes: dict[Hashable, int] = defaultdict(int)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value
        sizes[cluster] += 1
    total = np.array([sums[key] for key in sums])
    size = np.array([sizes[key] for key in sums])
    means = _resampled_means(total, size, draws, np.random.default_rng(seed))
    low, high = (float(bound) for bound in np.quantile(means, [0.025, 0.975]))
    mean = float(total.sum() / size.sum())
    if low == high and mean in (0.0, 1.0):
        return wilson(mean * len(total), len(total))
    return Interval(mean, low, high)


def wider(one: Interval, other: Interval) -> Interval:
    """Both intervals of one estimate together: as wide as whichever way of resampling asks for, on either side."""
    return Interval(one.value, min(one.low, other.low), max(one.high, other.high))


def _resampled_means(total: Array, size: Array, draws: int, generator: np.random.Generator) -> Array:
    """[draws], some at a time: those of 100,000 clusters would take gigabytes at once."""
    rows = max(1, PICKS_AT_ONCE // len(total))
    parts = []
    for start in range(0, draws, rows):
        picks = generator.integers(0, len(total), (min(rows, draws - start), len(total)))
        parts.append(total[picks].sum(1) / size[picks].sum(1))
    return np.concatenate(parts)


def ranks_with_ties(values: Sequence[float]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """1-based ranks, equal values sharing the mean of theirs."""
    array = np.asarray(values, dtype=np.float64)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts).astype(np.float64)
    middle = ends - (counts - 1) / 2
    return np.asarray(middle[inverse], dtype=np.float64)


def auc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Area under the ROC curve by the rank sum, ties counting one half; nan where a class is absent."""
    positive = np.asarray(labels, dtype=bool)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return math.nan
    rank_sum = float(ranks_with_ties(scores)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Pearson's; nan where either does not vary."""
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])
