"""What people said, with its interval, and together with the judge: against hand computations and simulations."""

import random
from statistics import fmean, variance

import pytest

from feedback.judgements.blind_pairs import Answer
from rlhf.release import people_figures
from rlhf.release.people_figures import by_people, combine, decisive


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


def test_combined_as_by_hand():
    """Single clusters: var(f)/N + var(y - f)/n, each with n - 1."""
    truth, predicted, rest = [1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 1.0, 1.0, 0.0]
    found = combine(truth, predicted, rest, range(4), range(5))
    differences = [0.0, -1.0, 0.0, 1.0]
    assert found.value == pytest.approx(fmean(rest) + fmean(differences))
    half = 1.959963984540054 * (variance(rest) / 5 + variance(differences) / 4) ** 0.5
    assert found.high == pytest.approx(min(1.0, found.value + half))
    assert found.low == pytest.approx(max(0.0, found.value - half))


def test_one_cluster_says_nothing():
    assert combine([1.0, 1.0], [1.0, 0.0], [1.0, 0.0], ["a", "a"], [1, 2])[1:] == (0.0, 1.0)


def test_the_combined_interval_holds_the_truth_as_often_as_it_says_though_the_judge_is_wrong():
    """People prefer the candidate in 40 of 100, the judge in 70: alone it would promote."""
    rng, held, widths = random.Random(7), 0, []
    for _ in range(400):
        answers = [(float(rng.random() < 0.4), 0.0) for _ in range(260)]
        pairs = [(won, won if rng.random() < 0.5 else float(rng.random() < 0.98)) for won, _ in answers]
        known, rest = pairs[:60], [guess for _, guess in pairs[60:]]
        found = combine([won for won, _ in known], [guess for _, guess in known], rest, range(60), range(200))
        held += found.low <= 0.4 <= found.high
        widths.append(found.high - found.low)
    assert 0.92 <= held / 400 <= 0.98
    assert fmean(guess for _, guess in pairs) > 0.6


def test_the_gate_is_asked_about_people_s_figure_where_there_is_one():
    people = {"win_rate": 0.4, "low": 0.3, "high": 0.5, "decides": True, "combined": None}
    found = decisive({"people": people})
    assert (found["win_rate"], found["win_rate_low"], found["win_rate_high"]) == (0.4, 0.3, 0.5)
    assert found["win_rate_se"] == pytest.approx(0.1 / 1.959964)
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
