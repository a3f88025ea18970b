"""Bradley and Terry's model of comparisons by people of whom each has a skill and a bias to one side."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Comparisons:
    """Answers to "which is better?", as shown: (answers,) each, indices from 0."""

    left: Integers
    right: Integers
    person: Integers
    left_won: NDArray[np.bool_]


@dataclass(frozen=True)
class Priors:
    """Normal priors as penalties: half the square of each number's distance from its mean, times this."""

    score: float = 0.1
    bias: float = 0.5
    skill: float = 0.5
    skill_mean: float = 2.0
    """On the scale of log odds: 2.0 is a skill of 0.88."""


@dataclass(frozen=True)
class NoisyFit:
    """The most probable scores and people under the priors."""

    scores: Floats
    """(items,), on the scale of log odds; their mean is 0."""
    skill: Floats
    """(people,), the share of answers that follow the scores; the others are given without looking."""
    bias: Floats
    """(people,), the share of the latter that names the left reply."""


def fit(given: Comparisons, *, priors: Priors = Priors(), items: int | None = None) -> NoisyFit:
    """The model of crowd-kit's NoisyBradleyTerry: with probability `skill` an answer follows Bradley and Terry, else
    it falls to the left with probability `bias`. With priors and with the exact gradient, unlike there. `items`: how
    many there are, where the last ones may be in no comparison."""
    people = int(given.person.max()) + 1
    items = items or int(max(given.left.max(), given.right.max())) + 1
    start = np.concatenate([np.zeros(items + people), np.full(people, priors.skill_mean)])
    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 0, "gtol": 1e-9}
    found = minimize(
        objective, start, args=(given, items, people, priors), jac=True, method="L-BFGS-B", options=options
    )
    scores, bias, skill = np.split(found.x, [items, items + people])
    return NoisyFit(scores=scores - scores.mean(), skill=expit(skill), bias=expit(bias))


def objective(at: Floats, given: Comparisons, items: int, people: int, priors: Priors) -> tuple[float, Floats]:
    """Minus the log posterior, and its gradient. `at`: scores, then biases, then skills, as log odds."""
    scores, bias, skill = np.split(at, [items, items + people])
    sign = np.where(given.left_won, 1.0, -1.0)
    ahead = sign * (scores[given.left] - scores[given.right])
    leaning, skilled = sign * bias[given.person], skill[given.person]
    followed = log_expit(skilled) + log_expit(ahead)
    guessed = log_expit(-skilled) + log_expit(leaning)
    total = np.logaddexp(followed, guessed)
    share = np.exp(followed - total)
    """The probability that the answer followed the scores."""
    by_score = sign * share * expit(-ahead)
    gradient = -np.concatenate(
        [
            np.bincount(given.left, by_score, items) - np.bincount(given.right, by_score, items),
            np.bincount(given.person, sign * (1 - share) * expit(-leaning), people),
            np.bincount(given.person, share - expit(skilled), people),
        ]
    )
    away = np.concatenate([scores, bias, skill - priors.skill_mean])
    strength = np.repeat([priors.score, priors.bias, priors.skill], [items, people, people])
    return float(-total.sum() + (strength * away**2).sum() / 2), gradient + strength * away
