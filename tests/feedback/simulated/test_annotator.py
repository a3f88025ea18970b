"""The share of mistakes that a simulated annotator makes, measured anew on its result."""

import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.simulated.annotator import flip, rank, tied_ranks


def gaussian_scores(tasks=300, seed=1):
    rng = random.Random(seed)
    return [[rng.gauss(0, 2) for _ in range(4)] for _ in range(tasks)]


def share_wrong(scores, ranks):
    wrong = decided = 0
    for of_task, placed in zip(scores, ranks, strict=True):
        for a, b in combinations(range(len(placed)), 2):
            if placed[a] != placed[b] and of_task[a] != of_task[b]:
                decided += 1
                wrong += (of_task[a] > of_task[b]) != (placed[a] < placed[b])
    return wrong / decided


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1, 0.2, 0.3, 0.45])
@pytest.mark.parametrize("tie_margin", [0.0, 0.25])
def test_the_stated_share_of_pairs_is_wrong(noise, tie_margin):
    scores = gaussian_scores()
    judged = rank(scores, noise, tie_margin, random.Random(7))
    assert share_wrong(scores, judged.ranks) == pytest.approx(noise, abs=0.01)
    assert judged.share_wrong == pytest.approx(share_wrong(scores, judged.ranks))


def test_the_scale_of_the_scores_does_not_matter():
    scores = gaussian_scores()
    huge = [[score * 1e6 for score in of_task] for of_task in scores]
    assert rank(scores, 0.1, 0.25, random.Random(3)).ranks == rank(huge, 0.1, 0.25, random.Random(3)).ranks


def test_without_noise_the_order_is_the_scores_and_equal_scores_tie():
    assert rank([[3.0, 1.0, 3.0, 2.0]], 0, 0, random.Random(0)).ranks == [[1, 3, 1, 2]]
    assert rank([[5.0, 5.0]], 0.2, 0.25, random.Random(0)).decided == 0


def test_neighbours_within_the_margin_tie():
    assert tied_ranks([1.0, 0.9, 0.2, 0.15], 0.2) == [1, 1, 2, 2]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), max_size=200), st.floats(0, 0.49), st.integers(0, 99))
def test_the_stated_share_of_flags_is_wrong(labels, noise, seed):
    flipped = flip(labels, noise, random.Random(seed))
    assert sum(a != b for a, b in zip(labels, flipped, strict=True)) == round(noise * len(labels))
