"""Dawid and Skene's model of yes-or-no answers: what is true of each item, and how often each person is right."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
TINY = 1e-10


@dataclass(frozen=True)
class Prior:
    """Beta prior of a person's rates, as answers that they are taken to have given before any."""

    right: float = 4.0
    wrong: float = 1.0


NO_PRIOR = Prior(0.0, 0.0)
"""Maximum likelihood, as in the paper: with few answers a person's rates become 0 or 1."""


@dataclass(frozen=True)
class LatentAnswers:
    """What the model says."""

    truth: Floats
    """(items,), the probability of yes."""
    prevalence: float
    sensitivity: Floats
    """(people,), the share of what is so to which they say yes."""
    specificity: Floats
    """(people,), the share of what is not so to which they say no."""
    accuracy: Floats
    """(people,), the expected share of their answers that is right; the prior's where they gave none."""


def fit(
    item: Integers,
    person: Integers,
    answer: NDArray[np.bool_],
    *,
    prior: Prior = Prior(),
    known: NDArray[np.float64] | None = None,
    one_coin: bool = False,
    steps: int = 500,
    tolerance: float = 1e-9,
) -> LatentAnswers:
    """Expectation maximisation from the majority. `item`, `person`, `answer`: (answers,), indices from 0 and what was
    said; `known`: (items,), 1 or 0 where the truth is known, else NaN; `one_coin`: a person errs as often either way,
    and neither answer is more common.

    Dawid and Skene, Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm (1979), eq. 2.3-2.5.
    """
    items, people = int(item.max()) + 1, int(person.max()) + 1
    said = answer.astype(np.float64)
    truth = _corrected(_means(item, said, items), known)
    for _ in range(steps):
        sensitivity, specificity = _rates(truth[item], person, said, people, prior, one_coin)
        prevalence = 0.5 if one_coin else float(truth.mean())
        before, truth = truth, _corrected(_truth(item, person, said, sensitivity, specificity, prevalence), known)
        if np.abs(truth - before).max() < tolerance:
            break
    sensitivity, specificity = _rates(truth[item], person, said, people, prior, one_coin)
    return LatentAnswers(
        truth=truth,
        prevalence=float(truth.mean()),
        sensitivity=sensitivity,
        specificity=specificity,
        accuracy=_accuracy(truth[item], person, said, people, prior),
    )


def _means(item: Integers, said: Floats, items: int) -> Floats:
    counted = np.bincount(item, minlength=items)
    return np.bincount(item, said, minlength=items) / np.maximum(counted, 1)


def _corrected(truth: Floats, known: Floats | None) -> Floats:
    return truth if known is None else np.where(np.isnan(known), truth, known)


def _rates(
    yes: Floats, person: Integers, said: Floats, people: int, prior: Prior, one_coin: bool
) -> tuple[Floats, Floats]:
    """Sensitivity and specificity of each person, where `yes` is the probability of yes at each answer."""
    hit, of_yes = _summed(person, yes * said, people), _summed(person, yes, people)
    refused, of_no = _summed(person, (1 - yes) * (1 - said), people), _summed(person, 1 - yes, people)
    if one_coin:
        hit = refused = hit + refused
        of_yes = of_no = of_yes + of_no
    return _share(hit, of_yes, prior), _share(refused, of_no, prior)


def _summed(person: Integers, values: Floats, people: int) -> Floats:
    return np.asarray(np.bincount(person, values, minlength=people), dtype=np.float64)


def _share(right: Floats, of: Floats, prior: Prior) -> Floats:
    counted = of + prior.right + prior.wrong
    return np.where(counted > 0, (right + prior.right) / np.maximum(counted, TINY), 0.5)


def _truth(
    item: Integers, person: Integers, said: Floats, sensitivity: Floats, specificity: Floats, prevalence: float
) -> Floats:
    """The probability of yes of each item, from the log odds of all its answers."""
    hit, refused = (np.clip(rate, TINY, 1 - TINY)[person] for rate in (sensitivity, specificity))
    odds = said * np.log(hit / (1 - refused)) + (1 - said) * np.log((1 - hit) / refused)
    at_first = np.log(np.clip(prevalence, TINY, 1) / np.clip(1 - prevalence, TINY, 1))
    total = at_first + np.bincount(item, odds, minlength=int(item.max()) + 1)
    return np.asarray(1 / (1 + np.exp(-np.clip(total, -500, 500))))


def _accuracy(yes: Floats, person: Integers, said: Floats, people: int, prior: Prior) -> Floats:
    right = yes * said + (1 - yes) * (1 - said)
    return _share(_summed(person, right, people), _summed(person, np.ones_like(said), people), prior)
