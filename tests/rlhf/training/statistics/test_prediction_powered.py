"""Prediction-powered means by hand, against scipy's quantile, and by how often their interval holds the truth."""

import math

import numpy as np
import pytest
import scipy.stats

from rlhf.training.statistics import ppi_mean


def test_by_hand() -> None:
    """Algorithm 1 of the paper on four labelled and five unlabelled observations."""
    truth, predicted, unlabelled = [1.0, 0.0, 1.0, 1.0], [0.9, 0.2, 0.6, 0.7], [0.8, 0.4, 0.5, 0.9, 0.6]
    found = ppi_mean(truth, predicted, unlabelled, range(4), range(10, 15), power=1.0)
    assert found.value == pytest.approx(0.64 + (0.75 - 0.6))
    errors = np.subtract(truth, predicted)
    variance = errors.var(ddof=1) / 4 + np.var(unlabelled, ddof=1) / 5
    assert found.high - found.value == pytest.approx(scipy.stats.t.ppf(0.975, 3) * math.sqrt(variance), rel=0.01)


def test_the_weight_of_the_predictions_is_that_of_ppi_plus_plus() -> None:
    draw = np.random.default_rng(3)
    quality = draw.normal(size=540)
    truth, predicted = quality[:40] + draw.normal(size=40), quality + 0.5 * draw.normal(size=540)
    tuned = np.cov(truth, predicted[:40])[0, 1] / (
        predicted[:40].var(ddof=1) + 40 / 500 * predicted[40:].var(ddof=1)
    )  # the paper pools both variances of the predictions
    arguments = (truth.tolist(), predicted[:40].tolist(), predicted[40:].tolist(), range(40), range(40, 540))
    assert ppi_mean(*arguments) == pytest.approx(ppi_mean(*arguments, power=float(tuned)))
    widths = [found.high - found.low for found in (ppi_mean(*arguments, power=w) for w in (0.0, None, 1.0))]
    assert widths[1] <= min(widths[0], widths[2])


def test_useless_predictions_cost_nothing_and_good_ones_narrow_it() -> None:
    draw = np.random.default_rng(4)
    truth = draw.integers(0, 2, 60).astype(float)
    alone = ppi_mean(truth.tolist(), [0.5] * 60, [0.5] * 300, range(60), range(60, 360))
    assert (alone.value, alone.high - alone.low) == pytest.approx(
        (truth.mean(), 2 * scipy.stats.t.ppf(0.975, 59) * truth.std(ddof=1) / math.sqrt(60)), rel=1e-3
    )
    others = draw.integers(0, 2, 300).astype(float)
    exact = ppi_mean(truth.tolist(), truth.tolist(), others.tolist(), range(60), range(60, 360))
    assert exact.high - exact.low < 0.5 * (alone.high - alone.low)


def test_a_cluster_that_has_both_is_one_draw() -> None:
    """Exact predictions on the prompts themselves: what is left is the spread of the prompts that both share."""
    draw = np.random.default_rng(5)
    of_prompt = draw.normal(size=30)
    found = ppi_mean(of_prompt.tolist(), of_prompt.tolist(), np.repeat(of_prompt, 4).tolist(), range(30),
                     np.repeat(range(30), 4).tolist(), power=1.0)  # fmt: skip
    assert found.high - found.value == pytest.approx(
        scipy.stats.t.ppf(0.975, 29) * of_prompt.std(ddof=1) / math.sqrt(30), rel=1e-3
    )


def test_without_two_clusters_of_the_truth_nothing_is_known() -> None:
    assert ppi_mean([1.0, 1.0], [0.5, 0.5], [0.5] * 9, [1, 1], range(9))[1:] == (-math.inf, math.inf)


@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_the_interval_holds_the_truth_in_95_of_100(bias: float) -> None:
    """Three draws a prompt, predictions with a constant bias, 1,000 times; four standard errors are 0.028."""
    draw = np.random.default_rng(6)
    held = 0
    for _ in range(1000):
        effect = np.repeat(draw.normal(scale=0.15, size=150), 3)
        share = np.clip(0.55 + effect, 0, 1)
        truth = (draw.random(450) < share).astype(float)
        predicted = np.clip(share + bias + 0.1 * draw.normal(size=450), 0, 1)
        clusters = np.repeat(range(150), 3).tolist()
        found = ppi_mean(
            truth[:120].tolist(), predicted[:120].tolist(), predicted[120:].tolist(), clusters[:120], clusters[120:]
        )
        held += found.low <= 0.55 <= found.high
    assert abs(held / 1000 - 0.95) < 0.028
