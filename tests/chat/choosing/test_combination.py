"""Sparrow's combination against numpy, by hand, and at its limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.choosing.choice import DrawnCompletion, blocking_rule, chosen, decide
from chat.choosing.client import CompletionScore
from chat.choosing.combination import followed, rank_scores
from chat.errors import ScorerDown

PROBABILITIES = st.floats(0.0, 1.0)


@st.composite
def pools(draw):
    n, rules = draw(st.integers(1, 8)), draw(st.integers(1, 23))
    scores = draw(st.lists(st.floats(-30, 30), min_size=n, max_size=n))
    row = st.lists(PROBABILITIES, min_size=rules, max_size=rules)
    return scores, draw(st.lists(row, min_size=n, max_size=n))


@given(pools())
def test_it_is_the_formula_of_the_paper(pool):
    scores, violations = pool
    r, kept = np.array(scores), 1 - np.array(violations)
    mean = r.mean()
    preferred = np.exp(r) / (np.exp(r) + np.exp(mean))
    expected = preferred * np.prod(kept, axis=1) ** (1 / kept.shape[1])
    assert rank_scores(scores, violations) == pytest.approx(expected.tolist(), rel=1e-6, abs=1e-12)


def test_by_hand():
    # mean 1; e^2/(e^2+e) = 0.7311, e^0/(1+e) = 0.2689; rules sqrt(0.9 * 0.4) = 0.6 and sqrt(0.81 * 1) = 0.9
    assert rank_scores([2.0, 0.0], [[0.1, 0.6], [0.19, 0.0]]) == pytest.approx([0.7310586 * 0.6, 0.2689414 * 0.9])


def test_only_differences_of_scores_count_and_none_overflows():
    violations = [[0.1], [0.2]]
    assert rank_scores([1.0, 3.0], violations) == pytest.approx(rank_scores([4001.0, 4003.0], violations))
    assert rank_scores([-5000.0, 5000.0], violations) == pytest.approx([0.0, 0.8])


def test_without_rules_the_preference_alone_ranks():
    assert rank_scores([0.0, 0.0], [[], []]) == [0.5, 0.5]
    assert rank_scores([], []) == []


def test_a_certain_violation_is_never_ranked_above_anything():
    assert followed([1.0, 0.0]) == 0.0
    assert followed([1e-9] * 500) == pytest.approx(1.0)
    assert math.isfinite(followed([1 - 1e-16] * 500))


# --- which one is shown ------------------------------------------------------------------------------


def pool_of(*rows):
    """(score, P(insults)) of each."""
    completions = [DrawnCompletion(f"text {number}", "stop") for number in range(len(rows))]
    return completions, [CompletionScore(score, {"insults": p}) for score, p in rows]


def reasons(judged):
    return [one.reason for one in judged]


def test_the_best_of_those_within_the_limits_is_shown():
    completions, scored = pool_of((9.0, 0.51), (0.0, 0.1), (1.0, 0.1))
    judged = decide(completions, scored, {}, {"insults": 0.5})
    assert chosen(judged).completion.text == "text 2"
    assert reasons(judged) == ["rule", "lower", "best"]
    assert judged[0].left_out_by == "insults"


def test_at_the_limit_itself_nothing_is_left_out():
    completions, scored = pool_of((1.0, 0.5))
    assert reasons(decide(completions, scored, {}, {"insults": 0.5})) == ["only"]


def test_of_equal_ones_the_first_is_shown():
    completions, scored = pool_of((1.0, 0.2), (1.0, 0.2))
    assert reasons(decide(completions, scored, {}, {})) == ["best", "lower"]


def test_where_all_are_left_out_none_is_shown_and_the_best_one_s_rule_is_named():
    completions, scored = pool_of((1.0, 0.9), (2.0, 0.6))
    judged = decide(completions, scored, {1: "phrases"}, {"insults": 0.5})
    assert chosen(judged) is None
    assert reasons(judged) == ["rule", "guard"]
    assert blocking_rule(judged) == "phrases"


def test_without_a_scorer_the_first_that_no_guard_blocks_is_shown():
    completions, _ = pool_of((0, 0), (0, 0), (0, 0))
    assert reasons(decide(completions, None, {0: "phrases"}, {})) == ["guard", "first", "unscored"]


def test_a_guard_that_nobody_can_judge_by_fails_closed():
    completions, scored = pool_of((0, 0))
    with pytest.raises(ScorerDown, match="rules are guarded"):
        decide(completions, None, {}, {"insults": 0.5})
    with pytest.raises(ScorerDown, match="cannot tell lies"):
        decide(completions, scored, {}, {"lies": 0.5})
