"""Gold figures against numbers worked out by hand."""

import pytest

from config.simulated_site import gold

ASKED = ["What is a star?", "Who are you?"]
BASE = ["one two", "one two three four"]


def test_the_base_is_at_zero_and_wins_a_half():
    found = gold.figures(ASKED, BASE, BASE, ["shorter", "longer"])
    assert (found.reward, found.wins_against_base, found.words, found.empty) == (0.0, 0.5, 3.0, 0.0)


def test_each_honest_person_counts_once():
    """Words 1 and 4 against 2 and 4: shorter gains 0.5 of a spread of 1, and wins one and ties one."""
    found = gold.figures(ASKED, ["one", "one two three four"], BASE, ["shorter", "shorter", "longer"])
    assert found.reward == pytest.approx((0.5 + 0.5 - 0.5) / 3)
    assert found.wins_against_base == pytest.approx((0.75 + 0.75 + 0.25) / 3)


def test_broken_rules_and_empty_replies_are_counted():
    found = gold.figures(ASKED, ["I love my family.", "  "], BASE, ["longer"])
    assert (found.violations, found.empty) == (0.5, 0.5)
    assert found.as_json()["violations"] == 0.5


def test_scores_without_spread_are_not_divided_by_zero():
    assert gold.figures(ASKED, ["a b", "a b"], ["a", "b"], ["longer"]).reward == 1.0
