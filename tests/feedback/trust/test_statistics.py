"""Statistics of judgements against other libraries (versions named), scipy, and sums by hand, to 1e-6."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from feedback.trust.statistics import agreement, copying, dawid_skene, noisy_bradley_terry
from feedback.trust.statistics.rank_agreement import pair_agreement, tau_b
from tests.feedback.trust import reference_answers as given

N = np.nan
CLASSIC = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
        [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
    ]
)
"""Krippendorff 2011, example C: four people, twelve units, missing values."""


def counts(ratings, values):
    return np.array([[np.sum(unit == value) for value in values] for unit in ratings.T], dtype=float)


@pytest.mark.parametrize(
    ("level", "expected"),
    [("nominal", 0.743421052631579), ("ordinal", 0.8153875037548814), ("interval", 0.8491071428571428)],
)
def test_alpha_is_that_of_the_package_krippendorff_0_9_0(level, expected):
    values = np.arange(1.0, 6.0)
    assert agreement.alpha(counts(CLASSIC, values), values, level) == pytest.approx(expected, abs=1e-9)


def test_alpha_of_chance_with_missing_values_is_that_of_the_package_krippendorff_0_9_0():
    rng = np.random.default_rng(7)
    ratings = rng.integers(0, 2, (5, 40)).astype(float)
    ratings[rng.random((5, 40)) < 0.4] = N
    values = np.array([0.0, 1.0])
    assert agreement.alpha(counts(ratings, values), values) == pytest.approx(-0.0381944444444442, abs=1e-9)


def test_alpha_says_nothing_where_nobody_shares_a_unit_or_all_say_the_same():
    values = np.array([0.0, 1.0])
    assert agreement.alpha(np.array([[1.0, 0], [0, 1]]), values) is None
    assert agreement.alpha(np.array([[2.0, 0], [3, 0]]), values) is None


def test_the_interval_holds_the_true_alpha_in_about_nineteen_of_twenty_samples():
    """Two people right with 0.9 on units of which half are so: expected agreement 0.82, so alpha is 0.64."""
    values, inside = np.array([0.0, 1.0]), 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        truth = rng.random(150) < 0.5
        said = np.array([np.where(rng.random(150) < 0.9, truth, ~truth) for _person in range(2)]).astype(float)
        found = agreement.alpha_interval(counts(said, values), values, np.arange(150), seed=seed)
        inside += found.low <= 0.64 <= found.high
    assert 90 <= inside <= 99


def test_units_of_one_task_are_drawn_together():
    """Each unit four times, as pairs of one task: the interval is as wide as without the copies."""
    values = np.array([0.0, 1.0])
    rng = np.random.default_rng(1)
    once = counts(rng.integers(0, 2, (3, 40)).astype(float), values)
    tasks = np.arange(40)
    four = agreement.alpha_interval(np.repeat(once, 4, axis=0), values, np.repeat(tasks, 4))
    alone = agreement.alpha_interval(np.repeat(once, 4, axis=0), values, np.arange(160))
    single = agreement.alpha_interval(once, values, tasks)
    assert four.high - four.low == pytest.approx(single.high - single.low, rel=0.15)
    assert alone.high - alone.low < 0.7 * (four.high - four.low)


def test_rare_violations_have_a_low_alpha_beside_a_high_raw_agreement():
    """Two people right with 0.95, 5 % violations: 90.5 % raw agreement, an alpha of 0.45 (reference: rlhf, 4.1)."""
    both, one = 0.05 * 0.95**2 + 0.95 * 0.05**2, 2 * 0.95 * 0.05
    times = [round(1e6 * share) for share in (both, one, 1 - both - one)]
    table = np.repeat([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]], times, axis=0)
    assert agreement.alpha(table, np.array([0.0, 1.0])) == pytest.approx(0.45, abs=0.01)
    yes, asked = table[:, 1], table.sum(axis=1)
    assert agreement.prevalence(yes, asked) == pytest.approx(both + one / 2, abs=1e-6)
    assert agreement.positive_agreement(yes, asked) == pytest.approx(2 * both / (2 * both + one), abs=1e-5)


def test_positive_agreement_of_three_people_by_hand():
    """Yes of three: 3 and 1 of 3. Pairs with a yes: 6 and 2 answers; agreeing (3 * 2 + 1 * 0) / 2 = 3 of 4."""
    assert agreement.positive_agreement(np.array([3.0, 1.0]), np.array([3.0, 3.0])) == pytest.approx(3 / 4)


@pytest.mark.parametrize("seed", range(20))
def test_kendalls_tau_is_scipys(seed):
    rng = np.random.default_rng(seed)
    one, other = rng.integers(1, 4, 6), rng.integers(1, 5, 6)
    assert tau_b(one, other) == pytest.approx(kendalltau(one, other).statistic, abs=1e-9)
    assert tau_b([1, 1, 1], [1, 2, 3]) is None


def test_agreement_with_a_known_order_counts_its_pairs_and_ties_as_half():
    assert pair_agreement([1, 2, 3], [1, 2, 2]) == 1
    assert pair_agreement([2, 1, 1], [1, 2, 3]) == pytest.approx((0 + 0 + 0.5) / 3)
    assert pair_agreement([1, 2], [1, 1]) is None


def flags():
    item, person, answer = (np.array(column) for column in zip(*given.FLAGS, strict=True))
    return item, person, answer.astype(bool)


def test_dawid_and_skene_without_a_prior_is_crowd_kits_1_4_2():
    found = dawid_skene.fit(*flags(), prior=dawid_skene.NO_PRIOR, steps=5000, tolerance=1e-13)
    assert found.prevalence == pytest.approx(0.399687, abs=1e-6)
    sensitivity = [0.8873620526165517, 0.8814964286042131, 0.8631150457518366, 0.8852201488007434, 0.4945256494890941]
    specificity = [0.9999999999937439, 0.8778704302054341, 0.9406527417108094, 0.9153379198714843, 0.7975159918593676]
    assert found.sensitivity == pytest.approx(sensitivity, abs=1e-6)
    assert found.specificity == pytest.approx(specificity, abs=1e-6)
    assert found.truth[:6] == pytest.approx(
        [1, 0.980486371, 0.00011707, 0.006221368, 0.93253496, 0.000184696], abs=1e-6
    )


def test_dawid_and_skene_with_known_answers_is_crowd_kits_1_4_2():
    known = np.full(30, N)
    known[:3] = [1, 0, 0]
    found = dawid_skene.fit(*flags(), prior=dawid_skene.NO_PRIOR, known=known, steps=5000, tolerance=1e-13)
    sensitivity = [0.9104282837767786, 0.8624319892924804, 0.8669333663710812, 0.8668263583422238, 0.4884741086643143]
    specificity = [0.9999999980125651, 0.8162759340844762, 0.9401775061782193, 0.8355707177669985, 0.7887268602528192]
    assert found.sensitivity == pytest.approx(sensitivity, abs=1e-6)
    assert found.specificity == pytest.approx(specificity, abs=1e-6)


def test_a_prior_keeps_few_answers_from_making_anybody_perfect_or_useless():
    item, person, answer = (
        np.array([0, 0, 0, 1, 1, 1]),
        np.array([0, 1, 2] * 2),
        np.array([1, 1, 0, 0, 0, 1], dtype=bool),
    )
    raw = dawid_skene.fit(item, person, answer, prior=dawid_skene.NO_PRIOR)
    assert raw.sensitivity == pytest.approx([1, 1, 0], abs=1e-6)
    kept = dawid_skene.fit(item, person, answer)
    assert kept.sensitivity[0] < 0.9
    assert kept.sensitivity[2] > 0.6


def comparisons():
    arrays = (np.array(column) for column in (given.LEFT, given.RIGHT, given.PERSON))
    return noisy_bradley_terry.Comparisons(*arrays, np.array(given.LEFT_WON, dtype=bool))


def test_the_likelihood_of_noisy_bradley_terry_is_crowd_kits_1_4_2():
    at = np.array([0.3, -0.2, 0.1, 0.5, -0.7, 0.2, -0.4, 1.1, 1.5, 0.3, -0.6])
    value, _gradient = noisy_bradley_terry.objective(at, comparisons(), 5, 3, noisy_bradley_terry.Priors(0, 0, 0))
    assert value == pytest.approx(75.49640614170403, abs=1e-9)


def test_the_gradient_is_that_of_the_objective():
    at, priors = np.linspace(-1, 1.5, 11), noisy_bradley_terry.Priors()
    _value, gradient = noisy_bradley_terry.objective(at, comparisons(), 5, 3, priors)
    for place in range(11):
        step = np.eye(11)[place] * 1e-6
        after, before = (noisy_bradley_terry.objective(at + s, comparisons(), 5, 3, priors)[0] for s in (step, -step))
        assert gradient[place] == pytest.approx((after - before) / 2e-6, abs=1e-6)


def test_the_fit_is_the_minimum_that_scipy_finds_of_crowd_kits_likelihood_with_the_same_priors():
    """68.44794364717264: BFGS of scipy 1.17.1, by differences, over crowd-kit 1.4.2."""
    found = noisy_bradley_terry.fit(comparisons())
    logit = lambda share: np.log(share / (1 - share))  # noqa: E731
    at = np.concatenate([found.scores, logit(found.bias), logit(found.skill)])
    value, gradient = noisy_bradley_terry.objective(at, comparisons(), 5, 3, noisy_bradley_terry.Priors())
    assert value == pytest.approx(68.44794364717264, abs=1e-6)
    assert np.abs(gradient).max() < 1e-3
    assert found.scores == pytest.approx([2.1132885, 0.5392557, 0.5579806, -0.5306155, -2.6799138], abs=1e-4)


def test_of_people_who_never_guess_it_is_choix_0_4_1():
    scores = [0.5919099654803119, 0.2131039768890747, 0.09481032916377163, -0.33099064606798395, -0.5688336254651741]
    certain = noisy_bradley_terry.Priors(score=CHOIX, bias=1, skill=1e6, skill_mean=30.0)
    assert noisy_bradley_terry.fit(comparisons(), priors=certain).scores == pytest.approx(scores, abs=1e-6)


CHOIX = 0.2
"""choix penalises alpha times the square, without the half: its alpha of 0.1."""


def test_two_copies_need_more_evidence_where_more_people_could_be_copies():
    evidence = np.zeros((40, 40))
    evidence[0, 1] = evidence[1, 0] = 12.0
    assert copying._weighs_enough(evidence, (0, 1), 3)
    assert not copying._weighs_enough(evidence, (0, 1), 40)
