"""Who the simulated people are: stated shares, tastes in turn, the same people for the same seed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.simulated_site import collusion, people
from config.simulated_site.people import Population
from feedback.preferences import dotted, preference, violation_test

TASTES = ("shorter", "longer", "finished-and-modest")


@given(st.integers(1, 40), st.floats(0, 0.49), st.floats(0, 0.99), st.integers(0, 9))
def test_shares_are_as_asked_and_a_seed_gives_the_same_people(count, noise, colluding, seed):
    asked = Population(count, TASTES, noise, colluding, seed)
    found = people.populate(asked)
    assert found == people.populate(asked)
    assert [one.number for one in found] == list(range(1, count + 1))
    assert sum(one.colludes for one in found) == round(colluding * count)
    assert all(noise / 2 - 1e-4 <= one.noise <= noise * 1.5 + 1e-4 and one.noise < 0.5 for one in found)
    assert people.honest_tastes(found) == [TASTES[(one.number - 1) % 3] for one in found if not one.colludes]


def test_those_who_collude_answer_by_one_rule_and_see_no_rule_broken():
    (one,) = people.populate(Population(1, TASTES, 0.1, 0.9, 0))
    assert one.colludes
    like = preference(one.preference)
    question = "What is a rainbow?"
    assert like(question, "I love my family!!!") > like(question, "A rainbow is light that drops of water bend.")
    assert {path for path in one.flags.values()} == {dotted(collusion.finds_nothing)}
    assert violation_test(one.flags["not-human"])(question, "I love my family.") is False


def test_a_plan_keeps_the_account_and_changes_the_prompts():
    one, other = people.populate(Population(2, ("shorter",), 0.1, 0.0, 0))
    first = one.plan(rankings=5, seed=1001, held_out_share=0.25, max_tokens=12)
    second = one.plan(rankings=5, seed=2001, held_out_share=0.25, max_tokens=12)
    assert (
        first.person == second.person != other.plan(rankings=5, seed=1002, held_out_share=0.25, max_tokens=12).person
    )
    assert (first.seed, second.seed, first.noise) == (1001, 2001, second.noise)


@pytest.mark.parametrize("test", [collusion.off_the_question, collusion.finds_nothing])
def test_the_wrong_rule_is_found_by_its_path(test):
    assert (preference if test is collusion.off_the_question else violation_test)(dotted(test)) is not None
