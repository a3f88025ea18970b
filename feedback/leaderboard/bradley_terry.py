"""The Bradley-Terry model of battles, fitted by Newton's method, with features beside the competitors.

The expected score of the left side is 1 / (1 + exp(-(rating_left - rating_right + features @ coefficients))) (Bradley
and Terry 1952). A tie is half a win, as LMArena has it (Chiang et al., arXiv:2403.04132, section 4, and its package
arena-rank): the estimate is consistent whenever the expected score is as above, however wins and ties make it up
(Gourieroux, Monfort and Trognon 1984, on pseudo maximum likelihood), and its spread is found by the sandwich.

A normal prior of mean 0 keeps a rating finite whose owner has not lost yet. It makes the ratings of the competitors
of one fit sum to 0.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from feedback.leaderboard.battles import Battles, Floats

PRIOR_SD = 4.0
"""Of a rating, in nats: 695 points. It shrinks what ten votes say by less than a tenth of their own error."""
MOST_STEPS = 200
LONGEST_STEP = 2.0
"""Nats. Newton's method may overshoot where everybody won or lost everything."""
TOLERANCE = 1e-9


class NotConverged(ArithmeticError):
    """The steps did not end; `last` is the size of the last one, in nats."""

    def __init__(self, last: float) -> None:
        self.last = last
        super().__init__(f"after {MOST_STEPS} steps the last was {last:g} nats")


@dataclass(frozen=True)
class RatingFit:
    ratings: Floats
    """(competitors,), in nats; they sum to 0."""
    coefficients: Floats
    """(features,), in nats a unit of the feature."""
    curvature: Floats
    """The negative Hessian of the penalised log-likelihood: ratings first, then coefficients."""
    scatter: Floats
    """The sum of the outer products of the votes' gradients."""

    @property
    def sandwich(self) -> Floats:
        """Covariance of the estimate, whatever the spread of the scores (Huber 1967, White 1982)."""
        inverse = self._inverse()
        return np.asarray(inverse @ self.scatter @ inverse)

    @property
    def model_based(self) -> Floats:
        """Covariance if no battle could end in a tie."""
        return self._inverse()

    def _inverse(self) -> Floats:
        """Of the curvature, for ratings around their mean: the data say nothing about that, only the prior does."""
        centre = np.eye(len(self.curvature))
        centre[: len(self.ratings), : len(self.ratings)] -= 1 / len(self.ratings)
        return np.asarray(centre @ np.linalg.inv(self.curvature) @ centre)


def fit(battles: Battles, prior_sd: float = PRIOR_SD) -> RatingFit:
    """Ratings and coefficients of battles whose competitors all hang together. Raises NotConverged."""
    place = np.zeros(battles.competitors + battles.features.shape[1])
    for _step in range(MOST_STEPS):
        expected = _expected(battles, place)
        slope = _gradient(battles, battles.weight * (battles.score - expected)) - place / prior_sd**2
        curvature = _gram(battles, battles.weight * expected * (1 - expected)) + np.eye(len(place)) / prior_sd**2
        step = np.linalg.solve(curvature, slope)
        size = float(np.abs(step).max(initial=0.0))
        place = place + step * min(1.0, LONGEST_STEP / max(size, TOLERANCE))
        if size < TOLERANCE:
            scatter = _gram(battles, battles.square * (battles.score - expected) ** 2)
            return RatingFit(place[: battles.competitors], place[battles.competitors :], curvature, scatter)
    raise NotConverged(size)


def _expected(battles: Battles, place: Floats) -> Floats:
    ratings, coefficients = place[: battles.competitors], place[battles.competitors :]
    ahead = ratings[battles.left] - ratings[battles.right] + battles.features @ coefficients
    return np.asarray(expit(ahead))


def _gradient(battles: Battles, values: Floats) -> Floats:
    """The sum of value times d, where d has 1 at the left side, -1 at the right one, and the features."""
    size = battles.competitors
    ratings = np.bincount(battles.left, values, size) - np.bincount(battles.right, values, size)
    return np.concatenate([ratings, battles.features.T @ values])


def _gram(battles: Battles, values: Floats) -> Floats:
    """The sum of value times the outer product of d with itself."""
    weighted = battles.features * values[:, None]
    across = _sides(battles, weighted)
    return np.block([[_pairs(battles, values), across], [across.T, battles.features.T @ weighted]])


def _pairs(battles: Battles, values: Floats) -> Floats:
    """(competitors, competitors): the part of the sum that is of the ratings."""
    size = battles.competitors
    met = np.bincount(battles.left * size + battles.right, values, size * size).reshape(size, size)
    met = met + met.T
    return np.asarray(np.diag(met.sum(axis=1)) - met)


def _sides(battles: Battles, columns: Floats) -> Floats:
    """(competitors, columns): each column summed over the battles, once to the left side and off the right one."""
    size = battles.competitors
    sums = [
        np.bincount(battles.left, column, size) - np.bincount(battles.right, column, size) for column in columns.T
    ]
    return np.stack(sums, axis=1) if sums else np.zeros((size, 0))
