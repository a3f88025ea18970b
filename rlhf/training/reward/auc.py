"""The area under the ROC curve with an interval that knows that replies to one prompt resemble each other."""

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from rlhf.training.statistics import Interval, ranks_with_ties, wilson

Z95 = NormalDist().inv_cdf(0.975)
Floats = npt.NDArray[np.float64]


def clustered_auc(scores: Sequence[float], labels: Sequence[bool], clusters: Sequence[Hashable]) -> Interval:
    """AUC with 95 % bounds; (nan, 0, 1) where a class is absent.

    Obuchowski, Biometrics 53 (1997), equations 3 to 6, which is DeLong's variance (Biometrics 44, 1988) where every
    cluster holds one label. The bounds are symmetric on the logit of the area, so that they stay within 0..1. Where
    nothing varies (an area of 0 or 1, or one cluster of a class) they are Wilson's over the rarer class's clusters.
    """
    positive = np.asarray(labels, dtype=bool)
    values = np.asarray(scores, dtype=np.float64)
    if not positive.any() or positive.all():
        return Interval(math.nan, 0.0, 1.0)
    above, below = _components(values, positive)
    area = float(above.mean())
    names: dict[Hashable, int] = {}
    index = np.array([names.setdefault(cluster, len(names)) for cluster in clusters])
    variance = _variance(above, below, index[positive], index[~positive], area)
    if not variance > 0 or not 0 < area < 1:
        fewest = min(len(set(index[positive])), len(set(index[~positive])))
        return wilson(area * fewest, fewest)
    half = Z95 * math.sqrt(variance) / (area * (1 - area))
    middle = math.log(area / (1 - area))
    return Interval(area, _logistic(middle - half), _logistic(middle + half))


def _components(values: Floats, positive: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Of each positive the share of negatives below it, of each negative the share of positives above it."""
    everywhere = ranks_with_ties(values.tolist())
    ups, downs = int(positive.sum()), int((~positive).sum())
    above = (everywhere[positive] - ranks_with_ties(values[positive].tolist())) / downs
    below = 1 - (everywhere[~positive] - ranks_with_ties(values[~positive].tolist())) / ups
    return above, below


def _variance(
    above: Floats, below: Floats, of_above: npt.NDArray[np.int_], of_below: npt.NDArray[np.int_], area: float
) -> float:
    """Of the area; `of_above` and `of_below` are the clusters of positives and negatives. nan with too few."""
    clusters = int(max(of_above.max(), of_below.max())) + 1
    ups, downs = len(above), len(below)
    off_above = np.bincount(of_above, above - area, clusters)
    off_below = np.bincount(of_below, below - area, clusters)
    with_above, with_below = len(np.unique(of_above)), len(np.unique(of_below))
    if min(with_above, with_below) < 2:
        return math.nan
    own = with_above / ((with_above - 1) * ups) * float(off_above @ off_above) / ups
    own += with_below / ((with_below - 1) * downs) * float(off_below @ off_below) / downs
    return own + 2 * clusters / (clusters - 1) * float(off_above @ off_below) / (ups * downs)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
