"""The demonstration: a state of its own beside the site's, and a table that hides nothing."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from config.demo import report
from config.demo.arms import EVERYTHING, RULE_ONLY

REPORT = {
    "judge": "gold:feedback.preferences:finished_and_modest",
    "n": 200,
    "win_rate": 0.84,
    "win_rate_low": 0.79,
    "win_rate_high": 0.885,
    "controls": {
        "null": 0.49,
        "null_low": 0.42,
        "null_high": 0.56,
        "first_sentence": 0.72,
        "first_sentence_low": 0.66,
        "first_sentence_high": 0.78,
        "best_of_8": 0.64,
        "best_of_8_low": 0.57,
        "best_of_8_high": 0.7,
        "stop_controlled": 0.5,
        "stop_controlled_low": 0.46,
        "stop_controlled_high": 0.57,
    },
    "violation_rate_before": 0.55,
    "violation_rate_before_low": 0.47,
    "violation_rate_before_high": 0.63,
    "violation_rate_after": 0.11,
    "violation_rate_after_low": 0.07,
    "violation_rate_after_high": 0.17,
    "violation_n_after": 160,
    "first_sentence_violation_rate_before": 0.3,
    "first_sentence_violation_rate_before_low": 0.24,
    "first_sentence_violation_rate_before_high": 0.36,
    "first_sentence_violation_rate_after": 0.1,
    "first_sentence_violation_rate_after_low": 0.06,
    "first_sentence_violation_rate_after_high": 0.15,
    "kl_nats": 6.6,
    "length_ratio": 0.61,
    "perplexity_ratio": 1.01,
    "empty_rate": 0.0,
    "surprise_ratio": 1.234,
    "surprise_nats": 1.111,
    "surprise_nats_base": 0.9,
}
RESULT = {
    "seed": 3,
    "learnt_from": "rankings and flags",
    "policy": "policy-2",
    "base_policy": "smollm2-135m-instruct",
    "comparisons": 600,
    "flags": 1200,
    "collected": {"noise_pairs": 0.1, "noise_flags": 0.1, "comparisons": 800, "preference": "finished_and_modest"},
    "reward_model": {
        "accuracy": 0.65,
        "accuracy_low": 0.6,
        "pairs": 369,
        "flag_auc": 0.89,
        "measured_against": "gold:f",
    },
    "evaluation": REPORT,
    "gate": {
        "passed": False,
        "reasons": [{"code": "kl", "text": "KL from the starting point, nats per reply", "value": 12, "limit": 10}],
    },
    "stage_seconds": {"reward_model": 95.0, "policy": 170.0, "evaluation": 30.0},
    "collecting_seconds": 300,
    "seconds": 600.0,
    "peak_memory_mb": 1500.0,
    "home": "/somewhere/demo-3",
}
RESULT["floors"] = EVERYTHING.check_floors(RESULT)


def test_the_table_shows_each_figure_with_its_interval_controls_and_judge():
    shown = report.render(RESULT)
    assert "SIMULATED annotators, seed 3, learned from rankings and flags" in shown
    for words in (
        "0.840 [0.790, 0.885]",
        "gold:feedback.preferences:finished_and_modest",
        "0.490 [0.420, 0.560]",
        "0.720 [0.660, 0.780]",
        "0.500 [0.460, 0.570]",
        "0.550 [0.470, 0.630]",
        "cut by 5.0",
        "cut by 3.0",
        "floor: holds: violations cut 5.000, at least 2.000, intervals apart",
        "6.600 nats",
        "1.234",
        "0.900 nats per token",
        "0.650 (at least 0.600)",
        "refused",
        "gate: KL from the starting point, nats per reply (value 12.000, limit 10.000)",
        "1500 MB",
        "10.0",
    ):
        assert words in shown, words


def test_a_figure_that_is_missing_is_a_dash():
    result = {**RESULT, "evaluation": {**REPORT, "kl_nats": None, "violation_rate_after": None}}
    shown = report.render({**result, "floors": EVERYTHING.check_floors(result)})
    assert "- nats" in shown
    assert "floor: SHORT: KL -, at most 8.000" in shown


def short(arm, **changes):
    result = {**RESULT, "evaluation": {**REPORT, **changes}}
    return [floor["name"] for floor in arm.check_floors(result) if not floor["holds"]]


def test_a_floor_is_short_by_itself_alone():
    assert short(EVERYTHING) == []
    assert short(EVERYTHING, violation_rate_after=0.28) == ["violations cut"]
    assert short(EVERYTHING, violation_rate_after_high=0.48) == ["violations cut"]  # a factor of 5, but not apart
    assert short(EVERYTHING, kl_nats=8.1) == ["KL"]
    assert short(EVERYTHING, win_rate=0.64) == ["win rate"]
    assert short(EVERYTHING, controls={"stop_controlled_low": 0.44}) == ["stop-controlled lower bound"]
    assert short(EVERYTHING, perplexity_ratio=None) == ["perplexity"]
    assert short(EVERYTHING, empty_rate=0.03) == ["empty replies"]


def test_the_rule_alone_has_floors_of_its_own():
    assert short(RULE_ONLY) == ["KL"]
    assert short(RULE_ONLY, kl_nats=3.9, first_sentence_violation_rate_after=0.16) == [
        "violations cut, first sentence"
    ]
    assert short(RULE_ONLY, kl_nats=3.9, empty_rate=0.06) == ["empty replies"]
    assert RULE_ONLY.hyperparameters["policy"]["score_weight"] == 0
    assert RULE_ONLY.hyperparameters["policy"]["missing_eos_penalty"] == 0


def test_with_no_violation_left_the_factor_is_what_the_sample_could_show():
    gone = {"violation_rate_after": 0.0, "violation_rate_after_high": 0.02}
    result = {**RESULT, "evaluation": {**REPORT, **gone}}
    told = {floor["name"]: floor for floor in EVERYTHING.check_floors(result)}
    assert told["violations cut"]["value"] == pytest.approx(0.55 * 160)
    assert told["violations cut"]["holds"]


@pytest.mark.django_db
def test_seeding_again_is_nothing_to_do(settings):
    settings.DEMO = True
    said = StringIO()
    call_command("seed_demo", "--json", stdout=said)
    seeded = json.loads(said.getvalue())
    assert seeded["added"]["accounts"] == 4
    assert seeded["there"]["rules"] >= 23
    with pytest.raises(CommandError) as error:
        call_command("seed_demo", stdout=StringIO())
    assert error.value.returncode == 3


@pytest.mark.django_db
def test_a_site_that_is_no_demo_gets_no_demo_accounts(settings):
    settings.DEMO = False
    said = StringIO()
    with pytest.raises(CommandError) as error:
        call_command("seed_demo", "--json", stdout=said)
    assert error.value.returncode == 1
    assert json.loads(said.getvalue())["error"]["code"] == "demo_refused"
