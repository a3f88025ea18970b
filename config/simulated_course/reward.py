"""A linear reward model: Bradley and Terry's over features of replies, learnt from the rankings of a snapshot.

It stands for a network's head: small enough that three arms of three courses are learnt in seconds, and nothing but
the judgements and their weights differs between them.
"""

import random
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import combinations
from math import comb
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from config.simulated_course.people import TASTE
from config.simulated_course.texts import CourseItem
from feedback.preferences import ENOUGH_WORDS, FINISHED, claims_to_be_human, overlap, repetition, words_of

Floats = NDArray[np.float64]
WORDS = 40
"""Columns that words fall into by a hash: what a model could learn by heart."""
RIDGE = 1e-3
"""Penalty on the square of each coefficient, for a judgement of weight 1."""


@cache
def _features(prompt: str, text: str) -> Floats:
    words = words_of(text)
    told = [
        float(bool(FINISHED.search(text.rstrip()))),
        float(claims_to_be_human(prompt, text)),
        len(words) / 20,
        float(len(words) < ENOUGH_WORDS),
        overlap(prompt, text),
        repetition(text),
        float(text.count("!")),
    ]
    places = [zlib.crc32(word.encode()) % WORDS for word in words]
    return np.concatenate([told, np.bincount(places, minlength=WORDS) / 10])


def learn(lines: Iterable[Mapping[str, Any]], *, weighted: bool) -> Floats:
    """Coefficients, from lines of `rankings.jsonl`; unless `weighted`, each judgement weighs the same."""
    rows, weights = [], []
    for line in lines:
        prompt = str(line["prompt"][-1]["content"])
        each = [_features(prompt, completion["text"]) for completion in line["completions"]]
        for one, other in combinations(range(len(each)), 2):
            ahead = int(np.sign(line["ranks"][other] - line["ranks"][one]))
            if ahead:
                rows.append(ahead * (each[one] - each[other]))
                weights.append((line["weight"] if weighted else 1.0) / comb(len(each), 2))
    return _fitted(np.array(rows), np.array(weights))


def _fitted(rows: Floats, weights: Floats) -> Floats:
    def loss(at: Floats) -> tuple[float, Floats]:
        ahead = rows @ at
        gradient = -(weights * expit(-ahead)) @ rows + RIDGE * weights.sum() * at
        return float(-(weights * log_expit(ahead)).sum() + RIDGE * weights.sum() * (at @ at) / 2), gradient

    return np.asarray(minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B").x)


def accuracy(model: Floats, items: Sequence[CourseItem]) -> float:
    """Share of pairs of replies that it orders as the hidden taste does, of those that this orders."""
    right = []
    for item in items:
        own = [float(_features(item.prompt, text) @ model) for text in item.replies]
        true = [TASTE(item.prompt, text) for text in item.replies]
        pairs = combinations(range(len(own)), 2)
        right += [(own[a] > own[b]) == (true[a] > true[b]) for a, b in pairs if true[a] != true[b]]
    return fmean(right)


def reward_of_chosen(model: Floats, items: Sequence[CourseItem]) -> float:
    """How much better, by the hidden taste, the reply is that the model would choose than a reply drawn at random:
    what the policy that answers with the best of n gains."""
    gains = []
    for item in items:
        own = [float(_features(item.prompt, text) @ model) for text in item.replies]
        true = [TASTE(item.prompt, text) for text in item.replies]
        gains.append(true[own.index(max(own))] - fmean(true))
    return fmean(gains)


def unseen(count: int, replies: int, seed: int) -> list[CourseItem]:
    """Items on which models are measured, drawn apart from those of the course."""
    from config.simulated_course import texts

    return texts.items(count, replies, random.Random(f"{seed}/unseen"))
