"""Ratings against LMArena's own package, against a hand computation, and their intervals against known truths."""

import math
from dataclasses import replace

import numpy as np
import pytest

from feedback.leaderboard import intervals
from feedback.leaderboard.battles import of_votes, summed
from feedback.leaderboard.bradley_terry import PRIOR_SD, fit
from feedback.leaderboard.intervals import POINTS, bounds, groups, points, ranks
from tests.feedback.leaderboard.leagues import COEFFICIENTS, STRENGTHS, league

FLAT = 1e3
"""A prior so wide that it says nothing, as arena-rank has none."""
RATINGS = [1123.648, 1102.6247, 991.6072, 960.2779, 928.2267, 893.6154]
LOW = [1085.3869, 1066.9488, 955.4054, 925.1595, 893.1617, 857.715]
HIGH = [1161.9092, 1138.3006, 1027.809, 995.3963, 963.2918, 929.5159]
STYLED = [1135.4346, 1114.2825, 987.6673, 956.8505, 920.9061, 884.8591]
STYLED_LOW = [1095.1296, 1077.6893, 950.5147, 920.5619, 885.6176, 848.7127]
SLOPES = [0.494744, 0.167396]
"""arena-rank 0.1.1 (PyPI, Apache-2.0) on league(7): BradleyTerry and ContextualBradleyTerry(reg=0), with
hessian_reg=1e-7, ftol=1e-15, gtol=1e-12 and intervals by the sandwich."""


def hand_made(*rows):
    left, right, score = (np.array(column) for column in zip(*rows, strict=True))
    competitors = int(max(left.max(), right.max())) + 1
    return of_votes(competitors, left, right, score.astype(float), np.ones(len(left)))


def test_ratings_and_intervals_are_those_of_arena_rank():
    battles = summed(league(7))
    found = fit(battles, FLAT)
    low, high = bounds(battles, found)
    assert points(found.ratings) == pytest.approx(RATINGS, abs=0.01)
    assert low == pytest.approx(LOW, abs=0.01)
    assert high == pytest.approx(HIGH, abs=0.01)


def test_ratings_with_features_are_those_of_arena_rank():
    battles = league(7)
    found = fit(battles, FLAT)
    assert points(found.ratings) == pytest.approx(STYLED, abs=0.01)
    assert bounds(battles, found)[0] == pytest.approx(STYLED_LOW, abs=0.01)
    assert found.coefficients == pytest.approx(SLOPES, abs=1e-4)


def test_two_competitors_stand_apart_by_the_log_odds_of_their_score():
    battles = hand_made(*[(0, 1, 1)] * 6, *[(0, 1, 0.5)] * 2, *[(1, 0, 1)] * 2)
    found = fit(battles, FLAT)
    assert found.ratings[0] - found.ratings[1] == pytest.approx(math.log(7 / 3), abs=1e-5)
    assert float(points(found.ratings).mean()) == pytest.approx(1000)


def test_the_interval_of_two_competitors_is_that_of_a_mean_score():
    """By hand: the variance of the logit of a mean score of 0.7 over 10 votes, halved for each side of the middle."""
    battles = hand_made(*[(0, 1, 1)] * 6, *[(0, 1, 0.5)] * 2, *[(0, 1, 0)] * 2)
    spread = (6 * 0.3**2 + 2 * 0.2**2 + 2 * 0.7**2) / 10
    wanted = 1.959964 * POINTS * math.sqrt(spread / 10) / (0.7 * 0.3) / 2
    found = fit(battles, FLAT)
    low, high = bounds(battles, found)
    assert (high - low) / 2 == pytest.approx([wanted, wanted], rel=1e-5)


def test_votes_that_are_alike_may_be_summed():
    votes = replace(league(3, styled=False), weight=np.full(600, 0.5), square=np.full(600, 0.25))
    one_by_one, together = fit(votes), fit(summed(votes))
    assert len(summed(votes)) <= 90
    assert together.ratings == pytest.approx(one_by_one.ratings, abs=1e-9)
    assert together.sandwich == pytest.approx(one_by_one.sandwich, abs=1e-9)


def test_half_the_weight_of_each_vote_is_no_other_estimate_nor_another_spread():
    votes = league(3, styled=False)
    half = replace(votes, weight=votes.weight / 2, square=votes.square / 4)
    assert fit(half, FLAT).ratings == pytest.approx(fit(votes, FLAT).ratings, abs=1e-6)
    assert fit(half, FLAT).sandwich == pytest.approx(fit(votes, FLAT).sandwich, abs=1e-5)


def test_who_never_lost_has_a_finite_rating_and_a_wide_interval():
    battles = hand_made(*[(0, 1, 1)] * 4, *[(1, 2, 1)] * 2, *[(2, 1, 1)] * 2)
    found = fit(battles)
    low, high = bounds(battles, found)
    assert intervals.is_one_sided(battles)
    assert found.ratings[0] == max(found.ratings) < 2 * PRIOR_SD
    assert high[0] - low[0] > 2 * POINTS
    assert low[0] < high[1]


def test_who_was_never_compared_is_a_group_of_their_own():
    battles = hand_made((0, 1, 1), (1, 2, 0), (3, 4, 0.5))
    assert groups(battles).tolist() == [0, 0, 0, 1, 1]


def test_a_rank_counts_those_who_are_better_beyond_doubt():
    assert ranks(np.array([10.0, 8.0, 1.0]), np.array([12.0, 11.0, 7.0])).tolist() == [1, 1, 3]


def test_intervals_cover_the_truth_as_often_as_they_say():
    """500 leagues of 6 competitors; fewer than 92 or more than 98 % of 500 are found once in 600 times at 95 %."""
    inside = np.array([covered(seed) for seed in range(500)])
    assert ((inside.mean(axis=0) >= 0.92) & (inside.mean(axis=0) <= 0.98)).all()
    assert 0.94 <= inside.mean() <= 0.96


@pytest.mark.parametrize("ties", [0.0, 0.5])
def test_intervals_with_features_cover_the_truth_whatever_the_ties(ties):
    inside = np.array([covered(seed, ties=ties, styled=True) for seed in range(100)])
    assert 0.92 <= inside.mean() <= 0.98


def covered(seed, **fields):
    battles = league(seed, **{"votes": 400, "styled": False} | fields)
    found = fit(battles)
    low, high = bounds(battles, found)
    truth = points(STRENGTHS)
    return (low <= truth) & (truth <= high)


def test_a_feature_that_wins_votes_has_its_true_coefficient():
    assert fit(league(5, votes=20_000)).coefficients == pytest.approx(COEFFICIENTS, abs=0.06)
