"""Which of the three sides a result's page calls the best."""

import pytest
from django.utils import translation

from fine_tuning.jobs.comparison_table import CONCLUSIONS, comparison_table

SUPERVISED = {
    "base": {"loss": 3.0, "perplexity": 20.1, "exact_match": 0.0},
    "few_shot": {"loss": 2.0, "perplexity": 7.4, "exact_match": 0.0},
    "fine_tuned": {"loss": 0.5, "perplexity": 1.6, "exact_match": 0.0},
}


def best_of(found):
    return [[cell.is_best for cell in row.cells] for row in found.rows]


@pytest.fixture(autouse=True)
def _english():
    with translation.override("en"):
        yield


def test_the_best_of_each_figure_is_named_and_the_first_decides():
    found = comparison_table(SUPERVISED)
    assert [row.measure.name for row in found.rows] == ["loss", "perplexity", "exact_match"]
    assert best_of(found) == [[False, False, True], [False, False, True], [False, False, False]]
    assert found.conclusion == CONCLUSIONS["fine_tuned"]


def test_training_that_made_it_worse_is_not_called_worth_it():
    sides = SUPERVISED | {"fine_tuned": {"loss": 5.0, "perplexity": 148.4, "exact_match": 0.0}}
    assert comparison_table(sides).conclusion == CONCLUSIONS["few_shot"]
    sides |= {"few_shot": SUPERVISED["fine_tuned"], "base": {"loss": 0.1, "perplexity": 1.1, "exact_match": 1.0}}
    assert comparison_table(sides).conclusion == CONCLUSIONS["base"]


def test_of_preferences_it_counts_which_answer_is_preferred():
    leads = {"base": (0.5, -3.0), "few_shot": (0.75, 2.0), "fine_tuned": (1.0, 40.0)}
    sides = {
        name: {**SUPERVISED["base"], "preferred": share, "lead_nats": nats} for name, (share, nats) in leads.items()
    }
    found = comparison_table(sides)
    assert [row.measure.name for row in found.rows][:2] == ["preferred", "lead_nats"]
    assert [cell.text for cell in found.rows[0].cells] == ["50.0 %", "75.0 %", "100.0 %"]
    assert found.conclusion == CONCLUSIONS["fine_tuned"]
    for side in sides.values():
        side["preferred"] = 1.0
    assert comparison_table(sides).conclusion == CONCLUSIONS["fine_tuned"]  # by the lead


def test_of_reinforcement_there_is_no_few_shot_and_no_wanted_answer():
    nothing = {"loss": None, "perplexity": None, "exact_match": None}
    sides = {
        "base": {**nothing, "score": 0.2, "p_violation": 0.1},
        "few_shot": None,
        "fine_tuned": {**nothing, "score": 0.9, "p_violation": 0.3},
    }
    found = comparison_table(sides)
    assert [str(side) for side in found.sides] == ["Original model", "Fine-tuned"]
    assert best_of(found) == [[False, True], [True, False]]
    assert found.conclusion == CONCLUSIONS["fine_tuned"]


def test_nothing_is_called_the_best_of_equals():
    found = comparison_table(
        {"base": SUPERVISED["base"], "few_shot": SUPERVISED["base"], "fine_tuned": SUPERVISED["base"]}
    )
    assert found.conclusion is None
    assert not any(any(row) for row in best_of(found))
