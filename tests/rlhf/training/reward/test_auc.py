"""The interval of an AUC: DeLong's by its definition, wider where labels come in clusters, and it covers."""

import math
import random

import numpy as np
import pytest

from rlhf.training.reward.auc import Z95, clustered_auc


def delong(positives: list[float], negatives: list[float]) -> tuple[float, float]:
    """(area, variance) by DeLong et al. 1988, one pair at a time."""

    def wins(p: float, n: float) -> float:
        return 1.0 if p > n else 0.5 if p == n else 0.0

    v10 = [sum(wins(p, n) for n in negatives) / len(negatives) for p in positives]
    v01 = [sum(wins(p, n) for p in positives) / len(positives) for n in negatives]
    return float(np.mean(v10)), float(np.var(v10, ddof=1) / len(v10) + np.var(v01, ddof=1) / len(v01))


def test_of_single_labels_it_is_delong_s() -> None:
    draw = random.Random(1)
    positives = [round(draw.gauss(1, 1), 1) for _ in range(23)]
    negatives = [round(draw.gauss(0, 1), 1) for _ in range(31)]
    area, variance = delong(positives, negatives)
    found = clustered_auc([*positives, *negatives], [True] * 23 + [False] * 31, range(54))
    assert found.value == pytest.approx(area)
    logit = math.log(area / (1 - area))
    # the clusters of one class carry none of the other, whose sums of products are therefore 0
    half = Z95 * math.sqrt(variance) / (area * (1 - area))
    assert math.log(found.low / (1 - found.low)) == pytest.approx(logit - half)
    assert math.log(found.high / (1 - found.high)) == pytest.approx(logit + half)


def test_the_same_labels_said_four_times_are_no_better_known() -> None:
    draw = random.Random(2)
    scores = [draw.gauss(i % 2, 1) for i in range(40)]
    labels = [bool(i % 2) for i in range(40)]
    once = clustered_auc(scores, labels, range(40))
    repeated = clustered_auc(scores * 4, labels * 4, [*range(40)] * 4)
    assert repeated == pytest.approx(once)
    naive = clustered_auc(scores * 4, labels * 4, range(160))
    assert naive.high - naive.low < 0.6 * (once.high - once.low)


def test_it_covers_the_truth_where_replies_to_a_prompt_resemble_each_other() -> None:
    draw = np.random.default_rng(3)
    truth = 0.5 * (1 + math.erf(1 / math.sqrt(2 * (0.5 + 0.5)) / math.sqrt(2)))  # of N(1, 1) over N(0, 1)
    covered = 0
    for _ in range(300):
        prompts = np.repeat(np.arange(40), 4)
        labels = np.tile([True, False, True, False], 40)
        scores = labels + draw.normal(0, math.sqrt(0.5), 40)[prompts] + draw.normal(0, math.sqrt(0.5), 160)
        found = clustered_auc(scores.tolist(), labels.tolist(), prompts.tolist())
        covered += found.low <= truth <= found.high
    assert covered >= 275  # 95 % of 300 are 285; fewer than 275 happen once in 170


def test_a_class_that_is_absent_says_nothing_and_a_perfect_one_is_not_certain() -> None:
    nothing = clustered_auc([0.1, 0.2], [True, True], [0, 1])
    assert math.isnan(nothing.value)
    assert nothing[1:] == (0.0, 1.0)
    perfect = clustered_auc([0.9, 0.8, 0.2, 0.1], [True, True, False, False], range(4))
    assert perfect.value == 1.0
    assert 0.2 < perfect.low < 0.5
