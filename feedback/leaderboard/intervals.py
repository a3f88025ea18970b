"""Ratings in points with their 95 % intervals, and the ranks that the intervals allow."""

import math

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from feedback.leaderboard.battles import Battles, Floats, Ints
from feedback.leaderboard.bradley_terry import RatingFit

POINTS = 400 / math.log(10)
"""Points a nat: who is 400 points ahead is expected to win ten times as often as to lose, as in chess."""
MEAN = 1000.0
Z95 = 1.959963984540054


def points(nats: Floats) -> Floats:
    return MEAN + POINTS * nats


def bounds(battles: Battles, found: RatingFit) -> tuple[Floats, Floats]:
    """Ends of the intervals, in points. Where somebody won or lost everything the sandwich knows no spread of their
    scores; then the wider of the two covariances counts."""
    size = battles.competitors
    variance = np.diag(found.sandwich)[:size]
    if is_one_sided(battles):
        variance = np.maximum(variance, np.diag(found.model_based)[:size])
    half = Z95 * np.sqrt(variance)
    return points(found.ratings - half), points(found.ratings + half)


def groups(battles: Battles) -> Ints:
    """(competitors,): the number of the group in which each was compared with the others, directly or by way of
    third ones. Between groups nothing is known."""
    return _components(battles.competitors, battles.left, battles.right, "weak")


def is_one_sided(battles: Battles) -> bool:
    """Whether some of them never took a point from the rest: then only the prior holds their distance (Ford 1957)."""
    took = battles.score > 0
    gave = battles.score < 1
    taker = np.concatenate([battles.left[took], battles.right[gave]])
    giver = np.concatenate([battles.right[took], battles.left[gave]])
    return len(set(_components(battles.competitors, taker, giver, "strong").tolist())) > 1


def ranks(low: Floats, high: Floats) -> Ints:
    """1 plus the number of those whose interval lies above one's own, as LMArena ranks."""
    return np.asarray(1 + (low[None, :] > high[:, None]).sum(axis=1))


def _components(size: int, start: Ints, end: Ints, connection: str) -> Ints:
    graph = coo_matrix((np.ones(len(start)), (start, end)), shape=(size, size))
    _number, labels = connected_components(graph, directed=True, connection=connection)
    return np.asarray(labels, dtype=np.int64)
