"""False promotions over the life of a site: levels of decisions, and sites simulated with the gate's own bound."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import zeta

from rlhf.release.bounds import lower_bound
from rlhf.release.error_budget import EXPONENT, level, spent

TOTAL = 0.05


def papers_series(j):
    """The series that LORD's authors suggest (Javanmard & Montanari 2018), up to its constant."""
    return 0.07720838 * math.log(max(j, 2)) / (j * math.exp(math.sqrt(math.log(j))))


class Accounts:
    """LORD++ as money: every sum that comes in is paid out over the decisions after it."""

    def __init__(self, total, series):
        self.total, self.series = total, series
        self.opened, self.passes, self.now = [(total / 2, 0)], 0, 0

    def next_level(self):
        self.now += 1
        return sum(amount * self.series(self.now - since) for amount, since in self.opened)

    def record(self, passed):
        if passed:
            self.passes += 1
            self.opened.append((self.total / 2 if self.passes == 1 else self.total, self.now))


histories = st.lists(st.booleans(), max_size=60)


@given(histories, st.sampled_from([spent, papers_series]))
def test_levels_are_those_of_an_account_that_pays_out_each_sum_by_itself(past, series):
    accounts = Accounts(TOTAL, series)
    for number, passed in enumerate(past):
        assert level(past[:number], TOTAL, series) == pytest.approx(accounts.next_level(), rel=1e-12)
        accounts.record(passed)


@given(histories)
def test_what_was_spent_is_never_more_than_the_budget_for_each_promotion(past):
    """The estimate of the share of false discoveries that LORD++ bounds (theorem 2 of the paper)."""
    levels = [level(past[:number], TOTAL) for number in range(len(past))]
    for number in range(1, len(past) + 1):
        assert sum(levels[:number]) <= TOTAL * max(1, sum(past[:number])) + 1e-12


def test_the_series_sums_to_one_and_starts_with_the_largest_share():
    assert spent(1) == pytest.approx(1 / zeta(EXPONENT), rel=1e-12)
    assert sum(spent(j) for j in range(1, 20_000)) == pytest.approx(1, abs=0.002)
    assert [round(level([False] * n, TOTAL), 5) for n in (0, 1, 2)] == [0.01094, 0.00361, 0.00189]


def test_a_promotion_earns_anew():
    assert level([False, False, True], TOTAL) > 5 * level([False, False, False], TOTAL)


def cycles(rng, sites, prompts, mean=0.5, tastes=0.2):
    """(win rate, its standard error) of each site's candidate: two draws a prompt, prompts that differ, ties."""
    spread = (1 - tastes) / tastes
    p = rng.beta(mean * spread, (1 - mean) * spread, (sites, prompts))
    ties = rng.random((sites, prompts, 2)) < 0.1
    won = np.where(ties, 0.5, rng.random((sites, prompts, 2)) < p[:, :, None]).mean(2)
    return won.mean(1), won.std(1, ddof=1) / math.sqrt(prompts)


def lives(rng, sites, decisions, prompts, mean):
    """For each site the number of its first promotion, 0 where there was none."""
    first, levels = np.zeros(sites, int), [level([False] * number, TOTAL) for number in range(decisions)]
    for number, at in enumerate(levels, start=1):
        means, errors = cycles(rng, sites, prompts, mean)
        for site, (value, error) in enumerate(zip(means, errors, strict=True)):
            if not first[site] and lower_bound(value, error, prompts, at) > 0.5:
                first[site] = number
    return first


@pytest.mark.parametrize("prompts", [40, 120])
def test_two_hundred_cycles_that_change_nothing_promote_in_at_most_one_site_of_twenty(prompts):
    promoted = (lives(np.random.default_rng(prompts), 1000, 200, prompts, 0.5) > 0).mean()
    assert promoted <= 0.05
    assert promoted > 0  # the simulation can find one: levels are not merely tiny


def test_without_the_budget_most_such_sites_would_promote():
    """What the fixed 97.5 % did."""
    rng, promoted = np.random.default_rng(0), np.zeros(300, bool)
    for _ in range(200):
        means, errors = cycles(rng, 300, 40)
        promoted |= [lower_bound(value, error, 40, 0.025) > 0.5 for value, error in zip(means, errors, strict=True)]
    assert promoted.mean() > 0.8


def test_a_better_candidate_still_passes_in_the_first_cycles():
    """A win rate of 0.65 on 120 prompts with two draws each."""
    first = lives(np.random.default_rng(1), 400, 3, 120, 0.65)
    assert (first == 1).mean() > 0.8
    assert (first > 0).mean() > 0.95
