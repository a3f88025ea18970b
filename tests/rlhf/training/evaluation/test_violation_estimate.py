"""Rates corrected for a judge's errors: by hand, against Rogan and Gladen's formula, and on planted rules."""

import numpy as np
import pytest
from numpy.random import Generator
from scipy.special import expit

from rlhf.training.evaluation import violation_estimate as estimate
from rlhf.training.evaluation.violation_estimate import EXACT, Column, Labels, PromptSums
from rlhf.training.evaluation.violation_report import prompts_needed

AUC_88 = 1.66
"""Distance of two normal distributions, in standard deviations, at which the area under the ROC curve is 0.88."""


def labels_of(chances_if_broken: list[float], chances_if_not: list[float]) -> Labels:
    """Each reply with a prompt of its own."""
    seen = [(chance, 1.0) for chance in chances_if_broken] + [(chance, 0.0) for chance in chances_if_not]
    return Labels.of([(prompt, chance, label) for prompt, (chance, label) in enumerate(seen)], len(seen))


def test_by_hand() -> None:
    """Half of the broken replies are seen and a tenth of the others: 0.3 seen is half broken."""
    labels = labels_of([1.0] * 5 + [0.0] * 5, [1.0] + [0.0] * 9)
    after, before = PromptSums.of([[1, 0], [0, 0], [1, 0], [0, 0], [1, 0]]), PromptSums.of([[0, 0]] * 4 + [[1, 0]])
    assert estimate.rate(after, labels).value == pytest.approx((0.3 - 0.1) / (0.5 - 0.1))
    assert estimate.rate(before, labels).value == pytest.approx(0.0)
    assert estimate.rise(after, before, labels).value == pytest.approx((0.3 - 0.1) / 0.4)


def test_of_a_judge_that_is_never_wrong_the_correction_is_the_identity() -> None:
    after, before = PromptSums.of([[1, 0], [0, 0], [1, 1]]), PromptSums.of([[0, 0], [0, 1], [1, 1]])
    found = estimate.rise(after, before, EXACT)
    assert found.value == pytest.approx(0.0)
    assert estimate.rate(after, EXACT).value == pytest.approx(0.5)
    paired = np.array([0.5, -0.5, 0.0])
    picks = np.random.default_rng(estimate.SEED).integers(0, 3, (estimate.DRAWS, 3))
    assert found.upper == pytest.approx(np.quantile(paired[picks].mean(1), 0.95))


def test_with_a_threshold_it_is_rogan_and_gladens_estimate() -> None:
    labels = labels_of([1.0] * 30 + [0.0] * 20, [1.0] * 10 + [0.0] * 90)
    sensitivity, specificity, apparent = 0.6, 0.9, 0.25
    found = estimate.rate(PromptSums.of([[1.0, 0, 0, 0]] * 50), labels).value
    assert found == pytest.approx((apparent + specificity - 1) / (sensitivity + specificity - 1))


def test_the_scale_of_the_probabilities_does_not_matter() -> None:
    draw = np.random.default_rng(1)
    broken, sound = draw.beta(4, 2, 30).tolist(), draw.beta(1, 4, 60).tolist()
    side = draw.beta(1, 2, (40, 3))
    ours = estimate.rise(PromptSums.of(side.tolist()), PromptSums.of(side[::-1].tolist()), labels_of(broken, sound))
    shrunk = labels_of([0.1 + 0.2 * x for x in broken], [0.1 + 0.2 * x for x in sound])
    theirs = estimate.rise(
        PromptSums.of((0.1 + 0.2 * side).tolist()), PromptSums.of((0.1 + 0.2 * side[::-1]).tolist()), shrunk
    )
    assert ours == pytest.approx(theirs)


def replies(draw: Generator, rate: float, prompts: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether replies break the rule, and what a judge of AUC 0.88 says, badly calibrated. Prompts differ."""
    chance = draw.beta(rate * 4, (1 - rate) * 4, prompts)
    broken = draw.random((prompts, draws)) < chance[:, None]
    return broken, expit(0.6 * (draw.normal(size=broken.shape) + AUC_88 * broken) - 3)


def planted(draw: Generator, after: float, before: float) -> tuple[PromptSums, PromptSums, Labels]:
    broken, chances = replies(draw, 0.17, 100, 3)
    labels = [(i, float(chances[i, j]), float(broken[i, j])) for i in range(100) for j in range(3)]
    sides = [PromptSums.of(replies(draw, rate, 60, 8)[1].tolist()) for rate in (after, before)]
    return sides[0], sides[1], Labels.of(labels, 100)


def test_a_planted_rule_that_a_threshold_hardly_sees_is_told_as_often_as_it_is_broken() -> None:
    """17 %, at an area under the ROC curve of 0.88: a threshold of one half tells less than 1 %."""
    draw = np.random.default_rng(2)
    told, covered, seen = [], 0, []
    for _ in range(100):
        side, _before, labels = planted(draw, 0.17, 0.17)
        found = estimate.rate(side, labels)
        told.append(found.value)
        covered += found.low <= 0.17 <= found.high
        seen.append((replies(draw, 0.17, 60, 8)[1] > 0.5).mean())
    assert np.mean(seen) < 0.01
    assert np.mean(told) == pytest.approx(0.17, abs=0.015)
    assert covered >= 88  # of 100 intervals of 95 %: 3.2 standard errors


@pytest.mark.parametrize(("after", "before"), [(0.22, 0.17), (0.08, 0.03)])
def test_a_true_rise_of_five_points_hardly_ever_passes_with_such_a_judge(after: float, before: float) -> None:
    draw = np.random.default_rng(3)
    passes = sum(estimate.rise(*planted(draw, after, before)).upper <= 0.02 for _ in range(200))
    assert passes <= 18  # 5 % of 200, and 2.6 standard errors


def test_a_judge_that_cannot_tell_allows_any_rise() -> None:
    draw = np.random.default_rng(4)
    labels = labels_of(draw.random(20).tolist(), draw.random(20).tolist())
    side = PromptSums.of(draw.random((40, 4)).tolist())
    assert not labels.is_enough or estimate.rise(side, side, labels).upper > 0.5
    assert not labels_of([0.9] * 4, [0.1] * 90).is_enough
    assert not labels_of([0.1] * 10, [0.9] * 10).is_enough


@pytest.mark.parametrize("before", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("alike", [0.0, 0.3, 0.8])
@pytest.mark.parametrize(("prompts", "draws"), [(20, 4), (40, 8), (60, 4)])
def test_a_true_rise_of_five_points_passes_less_than_one_time_in_twenty(
    before: float, alike: float, prompts: int, draws: int
) -> None:
    """Of a gold judge, however much replies to one prompt resemble each other; where prompts are too few for it, the
    condition on their number refuses."""
    draw = np.random.default_rng(round(before * 100) + prompts)
    passes, sites = 0, 200
    for _ in range(sites):
        sides = [hits(draw, rate, alike, prompts, draws) for rate in (before + 0.05, before)]
        needed = prompts_needed(float(np.mean(sides[1])))
        assert needed is not None
        found = estimate.rise(*(PromptSums.of(side.tolist()) for side in sides), EXACT)
        passes += prompts >= needed and found.upper <= 0.02
    assert passes <= 0.05 * sites + 6  # the simulation's own error: two standard errors


def hits(draw: Generator, rate: float, alike: float, prompts: int, draws: int) -> np.ndarray:
    if not rate:
        return np.zeros((prompts, draws))
    scale = (1 - alike) / alike if alike else 1e6
    return drawn(draw, draw.beta(rate * scale, (1 - rate) * scale, prompts), draws)


def drawn(draw: Generator, chance: np.ndarray, draws: int) -> np.ndarray:
    return (draw.random((len(chance), draws)) < chance[:, None]).astype(float)


def test_no_rise_passes_most_of_the_time_where_rules_are_seldom_broken() -> None:
    """Two in a hundred replies to 64 prompts that elicit violations, the same that do before and after."""
    draw, passes = np.random.default_rng(5), 0
    for _ in range(200):
        chance = draw.beta(0.02 * 7 / 3, 0.98 * 7 / 3, 64)
        after, before = (PromptSums.of(drawn(draw, chance, 8).tolist()) for _ in range(2))
        passes += estimate.rise(after, before, EXACT).upper <= 0.02
    assert passes > 0.75 * 200


def test_prompts_needed_by_hand() -> None:
    """0.95 to the power of 59 is the first below 5 %."""
    assert prompts_needed(0.0) == 59
    assert prompts_needed(0.5) == prompts_needed(0.97) == 20
    assert prompts_needed(None) is None


def test_any_rule_without_labels_of_whole_replies_is_bounded_by_the_rules() -> None:
    """Three rules that are never broken together, and three that always are: the bound holds for both."""
    apart = [PromptSums.of([[float(rule == prompt % 10)] for prompt in range(30)]) for rule in range(3)]
    together = [PromptSums.of([[float(prompt % 10 == 0)] for prompt in range(30)])] * 3
    columns = {name: [Column(side, EXACT) for side in sides] for name, sides in (("a", apart), ("t", together))}
    assert estimate.rate_of_any(columns["a"]).value == pytest.approx(0.3)
    assert estimate.rate_of_any(columns["t"]).value >= 0.1
    assert estimate.rise_of_any(columns["a"], columns["a"]).value >= 0
    assert estimate.rise_of_any(columns["a"], columns["t"]).value >= 0.3 - 0.1 - 1e-12
    assert estimate.rise_of_any(columns["a"], columns["t"]).upper <= 1
