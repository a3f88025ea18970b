"""What is asked of many cycles, on invented ones."""

import pytest

from config.simulated_site import gold
from config.simulated_site.demands import demands

LIMITS = {"anchor_kl_nats_max": 20.0, "length_ratio_max": 1.5, "perplexity_ratio_max": 1.15}


def cycle(number, reward=(0.2, 0.1, 0.3), wins=(0.1, 0.0, 0.2), *, promoted=True, **figures):
    change = {
        name: dict(zip(("value", "low", "high"), found, strict=True))
        for name, found in (("reward", reward), ("wins_against_base", wins))
    }
    of_base = {"anchor_kl_nats": 8.0, "anchor_length_ratio": 0.9, "anchor_perplexity_ratio": 1.02}
    return {"cycle": number, "promoted": promoted, "gold": {"change": change}, **of_base, **figures}


def met(*cycles):
    return [demand.is_met for demand in demands(cycles, LIMITS)]


def test_cycles_that_rise_or_hold_and_stay_near_meet_all_three():
    found = demands([cycle(1), cycle(2, reward=(-0.05, -0.2, 0.1))], LIMITS)
    assert [demand.is_met for demand in found] == [True, True, True]
    assert found[0].figures == ("cycle 1 rises +0.20 [+0.10, +0.30]", "cycle 2 holds -0.05 [-0.20, +0.10]")


def test_a_fall_beyond_chance_is_one_unless_it_was_refused():
    fall = (-0.3, -0.5, -0.1)
    assert met(cycle(1), cycle(2, reward=fall)) == [False, True, True]
    assert met(cycle(1), cycle(2, wins=fall)) == [True, True, False]
    assert met(cycle(1), cycle(2, reward=fall, wins=fall, promoted=False)) == [True, True, True]


@pytest.mark.parametrize(
    "far", [{"anchor_kl_nats": 21.0}, {"anchor_length_ratio": 1.6}, {"anchor_perplexity_ratio": 1.2}]
)
def test_drift_is_that_of_the_policy_that_is_live_at_the_end(far):
    assert met(cycle(1), cycle(2, **far))[1] is False
    assert met(cycle(1, **far), cycle(2))[1] is True
    assert met(cycle(1), cycle(2, promoted=False, **far))[1] is True


def test_the_first_cycle_has_its_distance_from_the_base_under_other_names():
    first = {"anchor_kl_nats": None, "anchor_length_ratio": None, "anchor_perplexity_ratio": None}
    near = {"kl_nats": 5.0, "length_ratio": 1.0, "perplexity_ratio": 1.0}
    assert met(cycle(1, **first, **near))[1] is True
    assert met(cycle(1, **first, **{**near, "kl_nats": 25.0}))[1] is False
    assert met(cycle(1, **first))[1] is False


def test_without_a_promotion_nothing_can_be_said():
    assert met(cycle(1, promoted=False), {"cycle": 2, "promoted": False, "gold": {"change": None}}) == [None] * 3


def test_changes_are_taken_prompt_by_prompt():
    """Words 1 and 2 after, 2 and 4 before, which is the base, with a spread of 1: by shorter 1 and 2 more, and two
    wins for two ties."""
    asked = ["What is a star?", "Who are you?"]
    base = ["one two", "one two three four"]
    found = gold.changes(asked, ["one", "one two"], base, base, ["shorter"])
    half = 1.96 * 0.5  # the standard error of two values that are 1 apart
    assert found["reward"] == pytest.approx({"value": 1.5, "low": 1.5 - half, "high": 1.5 + half}, abs=1e-3)
    assert found["wins_against_base"]["value"] == 0.5
