"""What people said, with its interval, and together with the judge: against hand computations and simulations."""

import random
from statistics import fmean

import pytest

from feedback.judgements.blind_pairs import Answer
from rlhf.release import people_figures
from rlhf.release.people_figures import by_people, decisive
from rlhf.training.statistics import Interval, ppi_mean


def line(won, person=1, prompt=None, number=[0]):  # noqa: B006 - counts the prompts
    number[0] += 1
    return {"won": won, "person": person, "prompt": number[0] if prompt is None else prompt}


def test_a_tie_is_half_a_win():
    assert by_people([line(1.0), line(0.5), line(0.0), line(1.0)]).value == pytest.approx(2.5 / 4)


def test_the_interval_is_as_wide_as_people_differ():
    """Two people of whom one always prefers the candidate: forty answers are little more than two."""
    agreed = [line(float(number % 2), person=number // 2 % 4) for number in range(40)]
    split = [line(float(number < 20), person=number // 20) for number in range(40)]
    assert by_people(agreed).value == by_people(split).value == 0.5
    assert by_people(split).low == 0.0
    assert 0.3 < by_people(agreed).low < 0.45


def test_answers_to_one_prompt_count_less_than_to_several():
    one = [line(float(number < 10), person=number, prompt=number // 10) for number in range(20)]
    assert by_people(one).low == 0.0


def rows_of(scores):
    """Replies of an evaluation in which the judge prefers the candidate's on a prompt (1), the other (0) or none."""
    return [
        {"side": side, "prompt": prompt, "draw": 0, "competes": True, "score": score if side == "after" else 0.5}
        for prompt, score in enumerate(scores)
        for side in ("after", "before")
    ]


def answers_of(pairs, people=4):
    """What people and the judge said of the first prompts."""
    return [
        {"won": won, "predicted": predicted, "prompt": prompt, "person": prompt % people}
        for prompt, (won, predicted) in enumerate(pairs)
    ]


def test_combined_is_prediction_powered_over_the_pairs_that_nobody_compared():
    """The wider of both clusterings; with one answer a person these are the same."""
    pairs = [(1.0, 1.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.5, 0.0)] * 4
    scores = [predicted for _, predicted in pairs] + [1.0, 0.0, 1.0, 1.0, 0.0, 0.5]
    found = people_figures._combined(answers_of(pairs, people=20), rows_of(scores))
    truth, predicted = zip(*pairs, strict=True)
    expected = ppi_mean(truth, predicted, scores[20:], range(20), range(100, 106))
    assert found == pytest.approx(expected)


def test_one_person_says_nothing_of_others():
    found = people_figures._combined(answers_of([(1.0, 1.0)] * 12, people=1), rows_of([1.0] * 30))
    assert found == (1.0, 0.0, 1.0)
    assert people_figures._told(found)["se"] > 0.25


def test_bounds_beyond_all_or_nothing_are_not_shown_and_their_error_is_kept():
    told = people_figures._told(Interval(0.9, 0.6, 1.2))
    assert (told["low"], told["high"]) == (0.6, 1.0)
    assert told["se"] == pytest.approx(0.3 / 1.959964)


def test_the_combined_interval_holds_the_truth_as_often_as_it_says_though_the_judge_is_wrong():
    """People prefer the candidate in 40 of 100, the judge in 70: alone it would promote."""
    rng, held = random.Random(7), 0
    for _ in range(400):
        answers = [float(rng.random() < 0.4) for _ in range(260)]
        guesses = [won if rng.random() < 0.5 else float(rng.random() < 0.98) for won in answers]
        known = answers_of(list(zip(answers[:60], guesses[:60], strict=True)), people=60)
        found = people_figures._combined(known, rows_of(guesses))
        held += found.low <= 0.4 <= found.high
    assert 0.92 <= held / 400 <= 0.98
    assert fmean(guesses) > 0.6


def test_the_gate_is_asked_about_people_s_figure_where_there_is_one():
    people = {"win_rate": 0.4, "low": 0.3, "high": 0.5, "se": 0.06, "decides": True, "combined": None}
    found = decisive({"people": people})
    assert (found["win_rate"], found["win_rate_low"], found["win_rate_high"]) == (0.4, 0.3, 0.5)
    assert found["win_rate_se"] == 0.06
    both = {"win_rate": 0.6, "low": 0.55, "high": 0.65}
    assert decisive({"people": {**people, "decides": False, "combined": both}})["win_rate_low"] == 0.55
    assert decisive({"people": {**people, "decides": False}}) == {}
    assert decisive({}) == {}
    nobody = {"win_rate": None, "low": None, "high": None, "decides": True}
    assert set(decisive({"people": nobody}).values()) == {None}


def test_people_are_numbers_in_the_report(monkeypatch):
    answers = [Answer(0, 0, 77, 1.0, 1.0, False), Answer(1, 0, 12, 0.5, 0.0, True), Answer(2, 0, 77, 0.0, 1.0, False)]
    lines = people_figures._lines(answers)
    assert [one["person"] for one in lines] == [1, 2, 1]
    assert "77" not in str(lines)
