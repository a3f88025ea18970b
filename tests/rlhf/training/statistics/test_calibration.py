"""A judge's calibration against scipy's optimiser, and what its error does to a win rate."""

import numpy as np
import pytest
import scipy.optimize

from rlhf.training.statistics import calibration as calibration_module
from rlhf.training.statistics.calibration import Calibration, fit_slope, probabilities, slope_draws


def judge(seed: int, quality: float, n: int = 120, groups: int = 40, people: int = 4) -> Calibration:
    """Margins of a judge whose slope truly is `quality`, on comparisons by several people."""
    draw = np.random.default_rng(seed)
    difference = draw.normal(size=n)
    chosen_first = draw.random(n) < probabilities(difference, quality)
    margins = np.where(chosen_first, difference, -difference)
    return Calibration(
        tuple(margins.tolist()), tuple((np.arange(n) % groups).tolist()), tuple(draw.integers(0, people, n).tolist())
    )


@pytest.mark.parametrize("quality", [-0.7, 0.0, 0.4, 3.0])
def test_the_slope_is_the_most_likely_one(quality: float) -> None:
    margins = np.array(judge(1, quality).margins)
    target = (len(margins) + 1) / (len(margins) + 2)

    def loss(slope: float) -> float:
        return float(
            (target * np.logaddexp(0, -slope * margins) + (1 - target) * np.logaddexp(0, slope * margins)).sum()
        )

    assert fit_slope(margins.tolist()) == pytest.approx(scipy.optimize.minimize_scalar(loss).x, abs=1e-5)


def test_a_judge_that_was_always_right_gets_a_finite_slope_and_one_that_says_nothing_none() -> None:
    slope = fit_slope([1.0] * 10)
    assert probabilities(np.array([1.0]), slope)[0] == pytest.approx(11 / 12)  # Platt's target
    assert fit_slope([0.0, 0.0]) == fit_slope([]) == 0.0


def test_slopes_of_resampled_clusters_spread_as_theory_says() -> None:
    """Of independent comparisons: about the inverse root of the information at the slope."""
    n = 400
    made = judge(2, 0.8, n=n, groups=n)
    margins = np.array(made.margins)
    likely = probabilities(margins, made.slope)
    expected = (likely * (1 - likely) * margins**2).sum() ** -0.5
    assert slope_draws(made.margins, made.groups).std() == pytest.approx(expected, rel=0.1)


def test_the_interval_is_the_wider_of_prompts_and_people() -> None:
    """One of two people contradicts the judge: by prompts it seems certain, by people nothing is."""
    margins = (1.0,) * 80 + (-1.0,) * 20
    calibration = Calibration(margins, tuple(range(100)), ("a",) * 80 + ("b",) * 20)
    low, high = np.quantile(slope_draws(margins, calibration.groups), [0.025, 0.975])
    found = calibration.interval()
    assert low > 0.5
    assert found.low < 0 < found.value < high < found.high


def test_a_mean_is_that_of_the_probabilities_and_its_interval_holds_the_judge_s_error() -> None:
    """Many prompts: what is left is the error of the slope, by the delta method."""
    calibration = judge(3, 0.6, n=200, groups=200, people=200)
    differences = np.random.default_rng(4).normal(0.8, 0.5, size=4000)
    found = calibration.mean(differences.tolist(), range(4000))
    likely = probabilities(differences, calibration.slope)
    assert found.value == pytest.approx(float(likely.mean()))
    by_slope = float((likely * (1 - likely) * differences).mean()) * float(calibration.slopes[0].std())
    assert calibration.error_of_slope(differences.tolist()) == pytest.approx(by_slope, rel=0.1)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(by_slope, rel=0.15)


def test_with_a_good_judge_few_prompts_are_the_error() -> None:
    calibration = judge(5, 2.0, n=4000, groups=4000, people=4000)
    differences = np.random.default_rng(6).normal(0.3, 1.0, size=50)
    found = calibration.mean(differences.tolist(), range(50))
    spread = probabilities(differences, calibration.slope).std(ddof=1) / 50**0.5
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(spread, rel=0.1)


def test_without_a_comparison_nothing_is_known() -> None:
    assert Calibration((), (), ()).mean([3.0], ["p"]) == (0.5, 0.0, 1.0)


def test_a_coin_lets_nothing_pass() -> None:
    """Of 40 judges that toss a coin and prefer a candidate strongly, at most as many as chance passes (5 % of 40,
    two-sided, and on one side alone) find it better than 1/2."""
    differences = np.random.default_rng(7).normal(2.0, 0.5, size=200).tolist()
    passed = sum(judge(seed, 0.0, people=120).mean(differences, range(200)).low > 0.5 for seed in range(100, 140))
    assert passed <= 3


@pytest.mark.parametrize("quality", [0.0, 0.8])
def test_the_interval_of_a_win_rate_holds_what_people_would_have_said(
    quality: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """150 evaluations of one candidate, each with 80 prompts and 120 comparisons of its own; 95 % less four standard
    errors is 88 %."""
    monkeypatch.setattr(calibration_module, "DRAWS", 400)
    draw = np.random.default_rng(8)
    everybody = draw.normal(1.0, 1.0, size=10**6)
    truth = float(probabilities(everybody, quality).mean())
    held = 0
    for seed in range(150):
        of_prompt = np.repeat(draw.normal(1.0, 0.8, size=80), 2)
        differences = of_prompt + draw.normal(0.0, 0.6, size=160)
        found = judge(1000 + seed, quality, groups=60).mean(differences.tolist(), np.repeat(range(80), 2).tolist())
        held += found.low <= truth <= found.high
    assert held / 150 > 0.88
