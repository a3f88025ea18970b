"""Intervals and ranks against scipy and by hand."""

import math
import random

import numpy as np
import pytest
import scipy.stats

from rlhf.training import statistics


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (170, 200), (1, 1)])
def test_wilson_is_scipy_s(hits: int, n: int) -> None:
    theirs = scipy.stats.binomtest(hits, n).proportion_ci(method="wilson")
    ours = statistics.wilson(hits, n)
    assert ours.value == hits / n
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_nothing_seen_means_nothing_known() -> None:
    assert statistics.wilson(0, 0)[1:] == (0.0, 1.0)
    assert math.isnan(statistics.cluster_bootstrap([], []).value)


def test_the_bootstrap_over_single_values_is_scipy_s() -> None:
    values = np.random.default_rng(1).normal(size=80).tolist()
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4000, rng=2
    ).confidence_interval
    ours = statistics.cluster_bootstrap(values, range(80), draws=4000)
    assert ours.value == pytest.approx(np.mean(values))
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_copies_within_a_prompt_do_not_narrow_the_interval() -> None:
    draw = random.Random(0)
    values = [float(draw.random() < 0.5) for _ in range(50)]
    once = statistics.cluster_bootstrap(values, range(50))
    often = statistics.cluster_bootstrap(values * 4, list(range(50)) * 4)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_a_share_of_zero_still_has_a_width() -> None:
    found = statistics.cluster_bootstrap([0.0] * 40, range(40))
    assert found.value == 0.0
    assert found.high > 0.05


def test_auc_is_the_mann_whitney_statistic_with_ties() -> None:
    draw = random.Random(3)
    scores = [round(draw.random(), 1) for _ in range(200)]
    labels = [draw.random() < score for score in scores]
    positive = [s for s, label in zip(scores, labels, strict=True) if label]
    negative = [s for s, label in zip(scores, labels, strict=True) if not label]
    expected = scipy.stats.mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative))
    assert statistics.auc(scores, labels) == pytest.approx(expected)
    assert statistics.ranks_with_ties(scores).tolist() == scipy.stats.rankdata(scores).tolist()
    assert math.isnan(statistics.auc([1.0, 2.0], [True, True]))


def test_correlation_by_hand() -> None:
    assert statistics.correlation([1, 2, 3], [2, 4, 6]) == pytest.approx(1.0)
    assert math.isnan(statistics.correlation([1, 1], [1, 2]))


def test_resampling_in_parts_gives_the_same_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(3)
    values, clusters = draw.random(210).tolist(), [number // 3 for number in range(210)]
    at_once = statistics.cluster_bootstrap(values, clusters)
    monkeypatch.setattr("rlhf.training.statistics.intervals.PICKS_AT_ONCE", 1000)
    assert statistics.cluster_bootstrap(values, clusters) == at_once
