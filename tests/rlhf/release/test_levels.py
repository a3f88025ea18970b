"""Each evaluation that the gate decides on has its place and its level, once, whatever happens around it."""

import pytest
from django.conf import settings
from django.db import IntegrityError

from rlhf.models import Evaluation, Run
from rlhf.release import conditions, decision, error_budget, levels
from tests.rlhf.fake_trainer import evaluate

GOOD = evaluate({"judge": {"kind": "gold"}, "anchor": "a", "base": "a"}, {})


@pytest.fixture
def evaluated(base_policy):
    """Makes an evaluation of the live policy's own weights, with changes to a good report."""

    def make(**changes):
        run = Run.objects.create(kind="evaluation", state="succeeded", base_policy=base_policy)
        report = {**GOOD, **changes}
        return Evaluation.objects.create(
            run=run, policy=base_policy, baseline=base_policy, judge="gold", report=report
        )

    return make


def given(evaluation):
    evaluation.refresh_from_db()
    return evaluation.number, evaluation.level


def test_levels_follow_from_the_decisions_before(evaluated):
    total, past = settings.GATE["false_promotions_max"], []
    for win_rate in (0.5, 0.5, 0.7, 0.5):
        evaluation = evaluated(win_rate=win_rate)
        made = decision.decide(evaluation)
        assert given(evaluation) == (len(past) + 1, error_budget.level(past, total))
        assert made.passed == (win_rate == 0.7), made.decisive()
        past.append(made.passed)


def test_who_asks_again_of_the_same_evaluation_gets_the_same_level(evaluated):
    first = evaluated()
    decision.decide(first)
    before = given(first)
    decision.decide(evaluated(win_rate=0.5))
    decision.decide(first)
    assert given(first) == before


def test_another_evaluation_of_the_same_policy_counts_by_itself(evaluated):
    for _ in range(3):
        decision.decide(evaluated(win_rate=0.5))
    assert list(Evaluation.objects.order_by("number").values_list("number", flat=True)) == [1, 2, 3]


def test_decisions_of_before_levels_were_kept_spend_nothing(evaluated):
    old = evaluated()
    old.decisions.create(passed=True, reasons=[], thresholds={})
    new = evaluated()
    decision.decide(new)
    assert given(old) == (None, None)
    assert given(new)[0] == 1
    assert conditions.budget(old.newest_decision()) is None


def test_one_whose_row_is_gone_keeps_its_place(evaluated):
    first, second = evaluated(win_rate=0.5), evaluated(win_rate=0.5)
    decision.decide(first)
    decision.decide(second)
    first.delete()
    third = evaluated()
    decision.decide(third)
    assert given(third) == (3, error_budget.level([False, False], settings.GATE["false_promotions_max"]))


def test_of_two_that_take_one_number_the_later_takes_the_next(evaluated, monkeypatch):
    """The other one is stored between the look at the past and the saving."""
    first, other = evaluated(win_rate=0.5), evaluated(win_rate=0.5)
    real, calls = levels._past, []

    def past():
        found = real()
        if not calls:
            calls.append(1)
            raise IntegrityError
        return found

    monkeypatch.setattr(levels, "_past", past)
    decision.decide(first)
    decision.decide(other)
    assert (given(first)[0], given(other)[0]) == (1, 2)


def test_a_page_is_told_the_number_the_level_and_the_bound(evaluated):
    evaluation = evaluated()
    found = conditions.budget(decision.decide(evaluation))
    assert (found.number, found.level, found.limit) == (1, "1.1 %", 0.5)
    assert 0.5 < found.bound < 0.7


def test_a_bound_that_is_too_wide_says_how_many_prompts_would_do(evaluated):
    """Of 60 prompts with a standard error of 0.02, on which the bound is 0.033: 60 * (2.487 * 0.02 / 0.02)^2."""
    wide = {"violation_rise": 0.0, "violation_rise_upper": 0.0329}
    assert "About 372 prompts" in hint_on_violations(evaluated(**wide))
    risen = {"violation_rise": 0.1, "violation_rise_upper": 0.12}
    assert hint_on_violations(evaluated(**risen)) == ""


def hint_on_violations(evaluation):
    return next(one.hint for one in conditions.of_decision(decision.decide(evaluation)) if one.code == "violations")
