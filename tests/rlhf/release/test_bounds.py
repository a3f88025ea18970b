"""Lower bounds at small levels: against scipy, and how often they exceed the truth at the sizes of an evaluation."""

import numpy as np
import pytest
import scipy.stats

from rlhf.release.bounds import lower_bound


def test_the_bound_is_that_of_the_sample_with_one_prompt_more_at_the_worst():
    values = np.random.default_rng(0).random(50)
    longer = np.append(values, -1.0)
    expected = longer.mean() - scipy.stats.t.ppf(0.99, 50) * scipy.stats.sem(longer)
    found = lower_bound(values.mean(), scipy.stats.sem(values), 50, 0.01, worst=-1.0)
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_sample_without_spread_is_not_certain():
    assert lower_bound(1.0, 0.0, 40, 0.01) < 0.93
    assert lower_bound(1.0, 0.0, 160, 0.01) > 0.97


def null_values(kind, rng, sites, prompts):
    """Prompts' mean wins where the candidate is as good as the other: 0.5 on average."""
    if kind == "draws":
        return rng.binomial(2, 0.5, (sites, prompts)) / 2
    if kind == "prompts differ":
        return rng.binomial(2, rng.beta(1, 1, (sites, prompts))) / 2
    if kind == "mostly ties":
        return np.where(rng.random((sites, prompts)) < 0.85, 0.5, rng.integers(0, 2, (sites, prompts)))
    if kind == "rare total losses":
        return rng.binomial(2, np.where(rng.random((sites, prompts)) < 0.15, 0.05, 0.4925 / 0.85)) / 2
    return np.clip(0.5 + 0.1 * rng.standard_normal((sites, prompts)), 0, 1)


@pytest.mark.parametrize("prompts", [40, 80, 160])
@pytest.mark.parametrize(
    "kind", ["draws", "prompts differ", "mostly ties", "rare total losses", "calibrated probabilities"]
)
def test_it_exceeds_the_truth_no_more_often_than_its_level(kind, prompts):
    sites = 20_000
    values = null_values(kind, np.random.default_rng(prompts), sites, prompts)
    means, errors = values.mean(1), values.std(1, ddof=1) / prompts**0.5
    for level in (0.025, 0.01, 0.002):
        wrong = sum(lower_bound(m, s, prompts, level) > 0.5 for m, s in zip(means, errors, strict=True))
        assert wrong <= scipy.stats.binom.ppf(0.9999, sites, level)
