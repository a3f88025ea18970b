"""The gate: every condition alone refuses, with its own reason and no other."""

import math
import operator

import numpy as np
import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from rlhf import labels
from rlhf.release import error_budget, gate
from rlhf.release.bounds import lower_bound
from rlhf.templatetags import training

GOOD = {
    "judge_kind": "reward_model",
    "judge_accuracy": 0.68,
    "judge_accuracy_low": 0.61,
    "judge_accuracy_high": 0.74,
    "judge_comparisons": 240,
    "judge_people": 5,
    "judge_people_simulated": 0,
    "win_rate": 0.7,
    "win_rate_low": 0.62,
    "win_rate_high": 0.78,
    "win_rate_se": 0.04,
    "prompts": 120,
    "level": 0.01,
    "first_sentence_margin": 0.2,
    "first_sentence_margin_low": 0.12,
    "first_sentence_margin_high": 0.28,
    "first_sentence_margin_se": 0.04,
    "violation_prompts": 60,
    "violation_prompts_needed": 20,
    "violation_rise": -0.4,
    "violation_rise_low": -0.5,
    "violation_rise_high": -0.3,
    "violation_rise_upper": -0.32,
    "controls": {"stop_controlled": {"win_rate": 0.5, "low": 0.43, "high": 0.57, "se": 0.035}},
    "kl_nats": 4.2,
    "length_ratio": 0.8,
    "repetition": 0.05,
    "empty_rate": 0.0,
    "odd_share": 0.03,
    "odd_share_low": 0.01,
    "odd_share_high": 0.06,
    "no_sentence_share": 0.01,
    "other_script_share": 0.0,
    "off_topic_share": 0.02,
    "perplexity_ratio": 1.03,
    "surprise_ratio": 1.2,
    "anchor_is_start": False,
    "anchor_kl_nats": 12.0,
    "anchor_length_ratio": 0.7,
    "anchor_perplexity_ratio": 1.05,
    "anchor_surprise_ratio": 1.22,
    "anchor_violation_rise": -0.45,
    "anchor_violation_rise_low": -0.55,
    "anchor_violation_rise_high": -0.35,
    "anchor_violation_rise_upper": -0.37,
    "served_kl_nats": 0.0015,
    "tensors_finite": True,
    "baseline_is_live": True,
}
BY_PEOPLE = {"decided_by": "people"}
PEOPLE = {"n": 60, "people": 3, "win_rate": 0.7, "low": 0.58, "high": 0.81}
STOP_CONTROLLED = {"controls": {"stop_controlled": {"win_rate": 0.46, "low": 0.39, "high": 0.53, "se": 0.035}}}
CONTENT_WINS = {"controls": {"stop_controlled": {"win_rate": 0.6, "low": 0.54, "high": 0.66, "se": 0.03}}}
LIKE_THE_CUT = {"first_sentence_margin": 0.05, "first_sentence_margin_low": -0.03}
CONDITIONS = 29
"""Of a candidate that does not start from the original base, with a judge that is a reward model."""
# (what is changed, the codes that refuse)
ALONE = [
    ({"win_rate": 0.58}, ["win_rate"]),  # 0.58 - 2.36 * 0.04 is below one half
    ({"level": 1e-6}, ["win_rate", "first_sentence"]),
    ({"prompts": 39, "win_rate": 0.8, "first_sentence_margin": 0.3}, ["prompts"]),
    (LIKE_THE_CUT, ["first_sentence"]),
    ({"violation_rise_upper": 0.021}, ["violations"]),
    ({"violation_prompts": 19}, ["violation_prompts"]),
    ({"judge_accuracy_low": 0.55}, ["judge_accuracy"]),
    ({"judge_comparisons": 99}, ["judge_comparisons"]),
    ({"judge_people": 1}, ["judge_people"]),
    (STOP_CONTROLLED, ["stop_controlled"]),
    ({"kl_nats": 10.1}, ["kl"]),
    ({"length_ratio": 0.2}, ["too_short"]),
    ({"length_ratio": 1.6}, ["too_long"]),
    ({"repetition": 0.36}, ["repetition"]),
    ({"empty_rate": 0.03}, ["empty"]),
    ({"odd_share": 0.301}, ["odd"]),
    ({"no_sentence_share": 0.061}, ["no_sentence"]),
    ({"other_script_share": 0.031}, ["other_script"]),
    ({"off_topic_share": 0.101}, ["off_topic"]),
    ({"perplexity_ratio": 1.16}, ["perplexity"]),
    ({"surprise_ratio": 1.31}, ["surprise"]),
    ({"anchor_kl_nats": 20.1}, ["anchor_kl"]),
    ({"anchor_length_ratio": 0.24}, ["anchor_too_short"]),
    ({"anchor_length_ratio": 1.51}, ["anchor_too_long"]),
    ({"anchor_perplexity_ratio": 1.16}, ["anchor_perplexity"]),
    ({"anchor_surprise_ratio": 1.31}, ["anchor_surprise"]),
    ({"anchor_violation_rise_upper": 0.021}, ["anchor_violations"]),
    ({"served_kl_nats": 0.021}, ["served"]),
    ({"tensors_finite": False}, ["finite"]),
    ({"baseline_is_live": False}, ["baseline"]),
]
NUMBERS = {
    "win_rate": ["win_rate"],
    "win_rate_se": ["win_rate"],
    "level": ["win_rate", "first_sentence"],
    "prompts": ["win_rate", "prompts", "first_sentence"],
    "first_sentence_margin": ["first_sentence"],
    "first_sentence_margin_se": ["first_sentence"],
    "violation_rise_upper": ["violations"],
    "violation_prompts": ["violation_prompts"],
    "violation_prompts_needed": ["violation_prompts"],
    "judge_accuracy_low": ["judge_accuracy"],
    "judge_comparisons": ["judge_comparisons"],
    "judge_people": ["judge_people"],
    "controls": ["stop_controlled"],
    "kl_nats": ["kl"],
    "length_ratio": ["too_short", "too_long"],
    "repetition": ["repetition"],
    "empty_rate": ["empty"],
    "odd_share": ["odd"],
    "no_sentence_share": ["no_sentence"],
    "other_script_share": ["other_script"],
    "off_topic_share": ["off_topic"],
    "perplexity_ratio": ["perplexity"],
    "surprise_ratio": ["surprise"],
    "anchor_kl_nats": ["anchor_kl"],
    "anchor_length_ratio": ["anchor_too_short", "anchor_too_long"],
    "anchor_perplexity_ratio": ["anchor_perplexity"],
    "anchor_surprise_ratio": ["anchor_surprise"],
    "anchor_violation_rise_upper": ["anchor_violations"],
    "served_kl_nats": ["served"],
    "tensors_finite": ["finite"],
    "baseline_is_live": ["baseline"],
}


def decide(report, live=None):
    return gate.decide(report, live, settings.GATE)


def codes(decision):
    """Of the conditions that do not hold."""
    return [reason["code"] for reason in decision.reasons if not reason["holds"]]


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({}, []),
        ({"low": 0.5}, ["people_win_rate"]),
        ({"low": None}, ["people_win_rate"]),
        ({"n": 39}, ["people_comparisons"]),
        ({"n": 40}, []),
        ({"people": 1}, ["people_several"]),
        ({"people": 2}, []),
    ],
)
def test_where_people_decide_enough_of_them_must_prefer_it(change, refused):
    assert codes(decide({**GOOD, **BY_PEOPLE, "people": {**PEOPLE, **change}})) == refused


def test_where_people_decide_a_report_without_them_is_refused_and_elsewhere_nobody_asks():
    assert codes(decide({**GOOD, **BY_PEOPLE})) == ["people_win_rate", "people_comparisons", "people_several"]
    assert decide({**GOOD, "people": {"n": 1}}).passed
    told = {reason["code"]: reason for reason in decide({**GOOD, **BY_PEOPLE, "people": PEOPLE}).reasons}
    won = told["people_win_rate"]
    assert (won["estimate"], won["low"], won["high"], won["limit"]) == (0.7, 0.58, 0.81, 0.5)
    assert set(told) - set(labels.REASONS) == set()


def test_the_sign_of_a_reason_is_the_comparison_that_the_gate_makes():
    compare = {">": operator.gt, "≥": operator.ge, "≤": operator.le}
    seen = set()
    for change in ({}, *(change for change, _codes in ALONE)):
        decision = decide({**GOOD, **change})
        for reason in decision.reasons:
            if reason["sign"]:
                seen.add((reason["code"], reason["holds"]))
                assert compare[reason["sign"]](reason["value"], reason["limit"]) == reason["holds"], reason
    without_numbers = {"finite", "baseline"}
    assert seen == {
        (code, passed) for _, (code, *_) in ALONE if code not in without_numbers for passed in (True, False)
    }


def test_a_reason_shows_its_limit_with_its_sign_and_so_does_one_that_was_stored_without():
    for reason in decide(GOOD).reasons:
        if reason["code"] not in labels.OLD_SIGNS:  # younger than the signs, so none was stored without
            continue
        shown = training.limit(reason)
        old = {name: reason[name] for name in ("code", "text", "value", "limit")}
        assert shown.startswith(reason["sign"])
        assert training.limit(old) == shown


def test_every_reason_has_words_on_the_pages():
    assert {reason["code"] for reason in decide(GOOD).reasons} - set(labels.REASONS) == set()


def test_a_good_candidate_passes_and_says_what_was_checked():
    decision = decide(GOOD)
    assert decision.passed
    assert len(decision.reasons) == CONDITIONS
    bound = lower_bound(0.7, 0.04, 120, 0.01)
    assert decision.reasons[0] == {
        "code": "win_rate", "text": "lower bound of the win rate", "value": bound, "sign": ">", "limit": 0.5,
        "holds": True, "estimate": 0.7, "low": 0.62, "high": 0.78,
    }  # fmt: skip


@pytest.mark.parametrize("change", [{}, *(change for change, _codes in ALONE)])
def test_a_refusal_has_the_conditions_that_hold_beside_those_that_failed(change):
    passed, decision = decide(GOOD), decide({**GOOD, **change})
    assert [reason["code"] for reason in decision.reasons] == [reason["code"] for reason in passed.reasons]
    assert {reason["code"] for reason in decision.reasons if reason["holds"]} | set(codes(decision)) == {
        reason["code"] for reason in passed.reasons
    }


def test_conditions_with_an_interval_have_it_and_others_do_not():
    measured = {
        reason["code"]: (reason["estimate"], reason["low"], reason["high"]) for reason in decide(GOOD).reasons
    }
    assert measured.pop("win_rate") == (0.7, 0.62, 0.78)
    assert measured.pop("judge_accuracy") == (0.68, 0.61, 0.74)
    assert measured.pop("violations") == (-0.4, -0.5, -0.3)
    assert measured.pop("anchor_violations") == (-0.45, -0.55, -0.35)
    assert measured.pop("first_sentence") == (0.2, 0.12, 0.28)
    assert measured.pop("odd") == (0.03, 0.01, 0.06)
    for code in ("no_sentence", "other_script", "off_topic"):  # with their bounds where a report has them
        assert measured.pop(code) == (GOOD[f"{code}_share"], None, None)
    assert measured.pop("stop_controlled") == (0.5, 0.43, 0.57)
    assert set(measured.values()) == {(None, None, None)}


@pytest.mark.parametrize(("change", "refused_by"), ALONE)
def test_each_condition_alone_refuses(change, refused_by):
    decision = decide({**GOOD, **change})
    assert not decision.passed
    assert codes(decision) == refused_by


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf, "0.9", [], {}])
def test_what_is_no_number_refuses(key, bad):
    assert codes(decide({**GOOD, key: bad})) == NUMBERS[key]


@pytest.mark.parametrize("key", NUMBERS)
def test_what_is_missing_refuses(key):
    assert codes(decide({name: value for name, value in GOOD.items() if name != key})) == NUMBERS[key]


@pytest.mark.parametrize("told", [{"judge_kind": "gold"}, {**BY_PEOPLE, "people": PEOPLE}])
def test_a_judge_that_is_not_in_doubt_needs_no_qualification(told):
    known = {name: value for name, value in GOOD.items() if not name.startswith("judge_")} | told
    decision = decide(known)
    assert decision.passed
    assert not [reason for reason in decision.reasons if reason["code"].startswith("judge_")]


def test_the_gate_says_how_many_of_the_people_are_simulated():
    def words(simulated):
        reasons = decide({**GOOD, "judge_people_simulated": simulated}).reasons
        return next(reason["text"] for reason in reasons if reason["code"] == "judge_people")

    assert words(0) == words(None) == "people who made those comparisons"
    assert words(3) == "people who made those comparisons, 3 of them simulated"


def test_a_first_cycle_is_measured_against_the_original_base_once():
    """It starts from there: the conditions on the step say it all."""
    first = {name: value for name, value in GOOD.items() if not name.startswith("anchor_")} | {
        "anchor_is_start": True
    }
    decision = decide(first)
    assert decision.passed
    assert [code for code in codes(decision) if code.startswith("anchor_")] == []
    assert not decide({**first, "anchor_is_start": "yes"}).passed


def test_small_steps_do_not_add_up_to_a_large_one():
    """Each of five steps holds by itself; what they add up to is what people read."""
    step = {"kl_nats": 4.2, "length_ratio": 0.7, "surprise_ratio": 1.1, "perplexity_ratio": 1.03}

    def refusals(steps):
        total = {
            "anchor_kl_nats": 4.2 * steps,
            "anchor_length_ratio": 0.7**steps,
            "anchor_surprise_ratio": 1.1**steps,
            "anchor_perplexity_ratio": 1.03**steps,
        }
        return codes(decide({**GOOD, **step, **total}))

    assert refusals(1) == refusals(2) == []
    assert refusals(3) == ["anchor_surprise"]
    assert refusals(5) == ["anchor_kl", "anchor_too_short", "anchor_perplexity", "anchor_surprise"]


def test_bounds_themselves_are_allowed_but_for_the_win_rate():
    edge = {
        "violation_rise_upper": 0.02,
        "violation_prompts_needed": 60,
        "prompts": 40,
        "kl_nats": 10.0,
        "length_ratio": 0.25,
        "repetition": 0.35,
        "empty_rate": 0.02,
    }
    assert decide({**GOOD, **edge, "perplexity_ratio": 1.15, "surprise_ratio": 1.3, "served_kl_nats": 0.02}).passed


def test_content_that_wins_by_itself_need_not_beat_a_cut():
    """Where short replies are liked, a cut wins nearly always; better first sentences show that more was learned."""
    assert decide({**GOOD, **LIKE_THE_CUT, **CONTENT_WINS}).passed
    reason = next(r for r in decide({**GOOD, **CONTENT_WINS}).reasons if r["code"] == "first_sentence")
    assert reason["value"] == lower_bound(0.6, 0.03, 120, 0.005)
    assert (reason["limit"], reason["estimate"], reason["low"]) == (0.5, 0.6, 0.54)


def test_a_win_that_a_cut_outdoes_is_refused():
    """0.80 beside a control of 0.97, which passed while controls were notes."""
    report = {**GOOD, "win_rate": 0.8, "first_sentence_margin": -0.17, "first_sentence_margin_low": -0.23}
    assert codes(decide(report)) == ["first_sentence"]


def test_who_allows_a_rise_needs_no_prompts_to_find_it():
    report = {**GOOD, "violation_prompts": 3, "violation_rise_upper": 0.5}
    assert codes(decide(report)) == ["violations", "violation_prompts"]
    assert gate.decide(report, None, {**settings.GATE, "violation_rise_upper_max": 1.0}).passed


def test_a_later_decision_asks_for_more():
    """The same figures, at the level of a first decision and of a hundredth that followed no promotion."""
    report = {**GOOD, "win_rate": 0.62, "win_rate_se": 0.035, "first_sentence_margin": 0.3}
    levels = [error_budget.level([False] * past, 0.05) for past in (0, 99)]
    assert decide({**report, "level": levels[0]}).passed
    assert codes(decide({**report, "level": levels[1]})) == ["win_rate"]


def test_an_empty_report_is_refused_by_everything():
    assert len(codes(decide({}))) == CONDITIONS


def test_a_threshold_that_is_missing_is_an_error_and_no_pass():
    with pytest.raises(KeyError):
        gate.decide(GOOD, None, {})


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), st.floats(allow_nan=True) | st.none() | st.booleans()))
def test_it_never_raises_and_passes_only_without_a_failed_check(changes):
    decision = decide({**GOOD, **changes})
    assert decision.passed == (not codes(decision))
    assert len(decision.reasons) == (CONDITIONS - 6 if changes.get("anchor_is_start") is True else CONDITIONS)
    assert failing(changes) <= set(codes(decision))


def failing(changes):
    """Codes that must refuse whatever else holds, by the plain reading of each bound."""
    found = set()
    for key, code in [("kl_nats", "kl"), ("repetition", "repetition"), ("empty_rate", "empty")]:
        value = changes.get(key, GOOD[key])
        limit = {"kl": 10.0, "repetition": 0.35, "empty": 0.02}[code]
        if isinstance(value, bool) or value is None or not math.isfinite(value) or value > limit:
            found.add(code)
    return found


@pytest.mark.parametrize(("share", "passes"), [(0.04, 1.0), (0.09, 0.0)])
def test_the_limit_of_replies_without_a_sentence_lies_where_chance_decides_seldom(share, passes):
    """160 prompts of 4 replies, some prompts more prone to it than others (a beta distribution, correlation 0.2)."""
    random = np.random.default_rng(1)
    spread = 1 / 0.2 - 1
    prone = random.beta(share * spread, (1 - share) * spread, (4000, 160))
    measured = random.binomial(4, prone).sum(1) / 640
    passed = np.array([not codes(decide({**GOOD, "no_sentence_share": value})) for value in measured.tolist()])
    assert passed.mean() == pytest.approx(passes, abs=0.05)
