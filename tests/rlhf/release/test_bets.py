"""Evidence and bounds from bets: against another library, a closed form and many sequences that are looked at always.

The figures of another library are of confseq 0.0.11 (Waudby-Smith, Howard), `diversified_betting_mart` with the same
100 constant bets; it is no dependency, since it does not run with NumPy 2.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc, betaln

from rlhf.release import bets

VALUES = [1, 1, 0.5, 0, 1, 0.75, 1, 1, 0, 0.5, 1, 1, 2 / 3, 1, 1, 0.25, 1]
PEOPLE = 100
LEVEL = 0.05


@pytest.mark.parametrize(
    ("mean", "at_the_end", "after_five"),
    [
        (0.5, 10.1718295859, 1.30004166638),
        (0.4, 117.55994627, 2.22926367003),
        (0.3, 4246.12827275, 4.98999690299),
        (0.7, 0.716081757878, 0.6772959184),
    ],
)
def test_the_wealth_is_another_library_s(mean, at_the_end, after_five):
    assert bets.evidence_above(VALUES, mean) == pytest.approx(at_the_end, rel=1e-9)
    assert bets.evidence_above(VALUES[:5], mean) == pytest.approx(after_five, rel=1e-9)
    mirrored = [1 - value for value in VALUES]
    assert bets.evidence_below(mirrored, 1 - mean) == pytest.approx(at_the_end, rel=1e-9)


def closed_form(wins, losses):
    """The integral over b from 0 to 1 of (1 + b)^wins (1 - b)^losses."""
    whole = betaln(wins + 1, losses + 1)
    rest = 1 - betainc(wins + 1, losses + 1, 0.5)
    return math.exp((wins + losses + 1) * math.log(2) + whole) * rest


@pytest.mark.parametrize(("wins", "losses"), [(7, 0), (12, 3), (20, 20), (3, 12), (60, 40)])
def test_of_wins_and_losses_it_is_the_mixture_over_all_bets(wins, losses):
    found = bets.evidence_above([1.0] * wins + [0.0] * losses, 0.5)
    assert found == pytest.approx(closed_form(wins, losses), rel=5e-3)


def test_a_tie_says_nothing_and_the_order_does_not_matter():
    assert bets.evidence_above([*VALUES, 0.5, 0.5], 0.5) == pytest.approx(bets.evidence_above(VALUES, 0.5))
    assert bets.evidence_above(VALUES[::-1], 0.5) == pytest.approx(bets.evidence_above(VALUES, 0.5))


def test_nobody_has_said_anything():
    assert (bets.evidence_above([], 0.5), bets.evidence_below([], 0.5)) == (1.0, 1.0)
    assert (bets.lower_bound([], LEVEL), bets.upper_bound([], LEVEL)) == (0.0, 1.0)


def test_seven_people_who_agree_are_the_fewest_that_decide():
    assert bets.evidence_above([1.0] * 6, 0.5) < 20 < bets.evidence_above([1.0] * 7, 0.5)


def test_much_evidence_is_a_finite_number():
    assert bets.evidence_above([1.0] * 100_000, 0.5) == pytest.approx(1e9, rel=1)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 2 / 3, 1.0]), min_size=1, max_size=60))
def test_the_bounds_say_what_the_evidence_says(values):
    low, high = bets.lower_bound(values, LEVEL), bets.upper_bound(values, LEVEL)
    assert 0.0 <= low <= sum(values) / len(values) + 1e-9
    assert high >= sum(values) / len(values) - 1e-9
    assert (low > 0.5) == (bets.evidence_above(values, 0.5) > 1 / LEVEL)
    assert (high < 0.5) == (bets.evidence_below(values, 0.5) > 1 / LEVEL)


def wealth(values):
    """Of many sequences (sequences, people) at each person, against a mean of 1/2."""
    logs = np.log1p(bets.SHARES[:, None, None] * (2 * values - 1)).cumsum(axis=2)
    return np.exp(logs).mean(axis=0)


def people_who_chat(rng, sequences, mean, people=PEOPLE):
    """Mean choices of people of whom some always prefer one side: the choices of one person are nearly one choice."""
    own = rng.beta(0.4 * mean, 0.4 * (1 - mean), size=(sequences, people))
    times = rng.integers(1, 9, size=(sequences, people))
    return rng.binomial(times, own) / times


def test_looked_at_after_every_person_it_errs_as_seldom_as_it_says():
    """1200 sites whose candidate is no better, each looked at after each of 100 people."""
    values = people_who_chat(np.random.default_rng(7), 1200, 0.5)
    ever = (wealth(values).max(axis=1) >= 1 / LEVEL).mean()
    assert 0.005 < ever < LEVEL
    assert wealth(values[:, :5])[3, -1] == pytest.approx(bets.evidence_above(list(values[3, :5]), 0.5))


def test_choices_that_are_counted_one_by_one_err_far_more_often():
    """Why a person is the unit: the same bets on each choice of people who repeat themselves."""
    rng = np.random.default_rng(8)
    own = rng.beta(0.2, 0.2, size=(500, 40))
    choices = rng.binomial(1, np.repeat(own, 8, axis=1)).astype(float)
    assert (wealth(choices).max(axis=1) >= 1 / LEVEL).mean() > 3 * LEVEL


def test_a_better_candidate_is_found():
    """At a true win rate of 65 %: of 100 such people in four of five cases, of 50 in fewer than half."""
    values = people_who_chat(np.random.default_rng(9), 400, 0.65)
    found = (wealth(values) >= 1 / LEVEL).cumsum(axis=1) > 0
    assert found[:, 99].mean() == pytest.approx(0.78, abs=0.06)
    assert found[:, 49].mean() == pytest.approx(0.45, abs=0.08)
