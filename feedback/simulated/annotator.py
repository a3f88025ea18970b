"""Turns hidden scores into rankings and flags with a stated share of mistakes."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import pstdev

Scores = Sequence[Sequence[float]]
"""For each task, the score of each completion."""


@dataclass(frozen=True)
class NoisyRanks:
    ranks: list[list[int]]
    """For each task, the dense rank of each completion; equal ranks are ties."""
    wrong: int
    """Pairs ranked the other way round than their scores."""
    decided: int
    """Pairs with different scores and different ranks."""

    @property
    def share_wrong(self) -> float:
        return self.wrong / self.decided if self.decided else 0.0


def rank(scores: Scores, noise: float, tie_margin: float, rng: random.Random) -> NoisyRanks:
    """Ranks each task by score + error, where the errors' scale is such that `noise` of the decided pairs is wrong.

    Completions closer than `tie_margin` standard deviations of all scores are tied. The errors are drawn once and
    only scaled, so that the share found for a scale is the share in the result.
    """
    errors = [[rng.gauss(0, 1) for _ in of_task] for of_task in scores]
    flat = [score for of_task in scores for score in of_task]
    spread = pstdev(flat) if len(flat) > 1 else 0.0
    margin = tie_margin * spread

    def at(scale: float) -> NoisyRanks:
        return _ranked(scores, errors, scale, margin)

    return at(_scale_for(noise, lambda scale: at(scale).share_wrong, spread or 1.0))


def _scale_for(noise: float, share_at: Callable[[float], float], unit: float) -> float:
    """The scale at which the share of mistakes first reaches `noise`, by bisection."""
    if noise <= 0:
        return 0.0
    low, high = 0.0, unit
    for _ in range(12):
        if share_at(high) >= noise:
            break
        low, high = high, high * 2
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if share_at(middle) < noise else (low, middle)
    return high


def _ranked(scores: Scores, errors: Scores, scale: float, margin: float) -> NoisyRanks:
    ranks, wrong, decided = [], 0, 0
    for of_task, errors_of_task in zip(scores, errors, strict=True):
        noisy = [score + scale * error for score, error in zip(of_task, errors_of_task, strict=True)]
        placed = tied_ranks(noisy, margin)
        ranks.append(placed)
        for one, other in combinations(range(len(placed)), 2):
            if placed[one] == placed[other] or of_task[one] == of_task[other]:
                continue
            decided += 1
            wrong += (placed[one] < placed[other]) != (of_task[one] > of_task[other])
    return NoisyRanks(ranks, wrong, decided)


def tied_ranks(scores: Sequence[float], margin: float) -> list[int]:
    """Dense ranks, the highest first; neighbours in the order that are at most `margin` apart share one."""
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    ranks = [0] * len(scores)
    place = 0
    for position, index in enumerate(order):
        if position == 0 or scores[order[position - 1]] - scores[index] > margin:
            place += 1
        ranks[index] = place
    return ranks


def flip(labels: Sequence[bool], noise: float, rng: random.Random) -> list[bool]:
    """The labels with `noise` of them wrong, wherever they fall."""
    wrong = set(rng.sample(range(len(labels)), round(noise * len(labels))))
    return [label != (index in wrong) for index, label in enumerate(labels)]
