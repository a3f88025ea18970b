"""The gate: every condition alone refuses, with its own reason and no other."""

import math
import operator

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from rlhf import labels
from rlhf.release import gate
from rlhf.templatetags import training

GOOD = {
    "win_rate": 0.7,
    "win_rate_low": 0.62,
    "win_rate_high": 0.78,
    "violation_rate_before": 0.5,
    "violation_rate_after": 0.1,
    "violation_rate_after_low": 0.05,
    "violation_rate_after_high": 0.2,
    "controls": {"stop_controlled": {"win_rate": 0.5, "low": 0.43, "high": 0.57}},
    "kl_nats": 4.2,
    "length_ratio": 0.8,
    "repetition": 0.05,
    "empty_rate": 0.0,
    "perplexity_ratio": 1.03,
    "surprise_ratio": 1.2,
    "anchor_is_start": False,
    "anchor_kl_nats": 12.0,
    "anchor_length_ratio": 0.7,
    "anchor_perplexity_ratio": 1.05,
    "anchor_surprise_ratio": 1.22,
    "anchor_violation_rate": 0.5,
    "served_kl_nats": 0.0015,
    "tensors_finite": True,
    "baseline_is_live": True,
}
BY_PEOPLE = {"decided_by": "people"}
PEOPLE = {"n": 60, "people": 3, "win_rate": 0.7, "low": 0.58, "high": 0.81}
STOP_CONTROLLED = {"controls": {"stop_controlled": {"low": 0.39}}}
# (what is changed, the codes that refuse)
ALONE = [
    ({"win_rate_low": 0.5}, ["win_rate"]),
    ({"violation_rate_after": 0.51, "anchor_violation_rate": 0.6}, ["violations"]),
    (STOP_CONTROLLED, ["stop_controlled"]),
    ({"kl_nats": 10.1}, ["kl"]),
    ({"length_ratio": 0.2}, ["too_short"]),
    ({"length_ratio": 1.6}, ["too_long"]),
    ({"repetition": 0.36}, ["repetition"]),
    ({"empty_rate": 0.03}, ["empty"]),
    ({"perplexity_ratio": 1.16}, ["perplexity"]),
    ({"surprise_ratio": 1.31}, ["surprise"]),
    ({"anchor_kl_nats": 20.1}, ["anchor_kl"]),
    ({"anchor_length_ratio": 0.24}, ["anchor_too_short"]),
    ({"anchor_length_ratio": 1.51}, ["anchor_too_long"]),
    ({"anchor_perplexity_ratio": 1.16}, ["anchor_perplexity"]),
    ({"anchor_surprise_ratio": 1.31}, ["anchor_surprise"]),
    ({"anchor_violation_rate": 0.09}, ["anchor_violations"]),
    ({"served_kl_nats": 0.021}, ["served"]),
    ({"tensors_finite": False}, ["finite"]),
    ({"baseline_is_live": False}, ["baseline"]),
]
NUMBERS = {
    "win_rate_low": ["win_rate"],
    "violation_rate_after": ["violations", "anchor_violations"],
    "violation_rate_before": ["violations"],
    "controls": ["stop_controlled"],
    "kl_nats": ["kl"],
    "length_ratio": ["too_short", "too_long"],
    "repetition": ["repetition"],
    "empty_rate": ["empty"],
    "perplexity_ratio": ["perplexity"],
    "surprise_ratio": ["surprise"],
    "anchor_kl_nats": ["anchor_kl"],
    "anchor_length_ratio": ["anchor_too_short", "anchor_too_long"],
    "anchor_perplexity_ratio": ["anchor_perplexity"],
    "anchor_surprise_ratio": ["anchor_surprise"],
    "anchor_violation_rate": ["anchor_violations"],
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
        if reason["code"] == "served" or reason["code"].startswith(
            "anchor_"
        ):  # younger than the signs, so none was stored without
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
    assert len(decision.reasons) == 19
    assert decision.reasons[0] == {
        "code": "win_rate", "text": "lower bound of the win rate", "value": 0.62, "sign": ">", "limit": 0.5,
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
    assert measured.pop("violations") == (0.1, 0.05, 0.2)
    assert measured.pop("anchor_violations") == (0.1, 0.05, 0.2)
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
        "violation_rate_after": 0.5,
        "kl_nats": 10.0,
        "length_ratio": 0.25,
        "repetition": 0.35,
        "empty_rate": 0.02,
    }
    assert decide({**GOOD, **edge, "perplexity_ratio": 1.15, "surprise_ratio": 1.3, "served_kl_nats": 0.02}).passed


def test_an_unlucky_draw_of_the_live_policys_rate_does_not_refuse():
    report = {**GOOD, "violation_rate_before": 0.08, "violation_rate_after": 0.1, "anchor_violation_rate": 0.5}
    assert codes(decide(report)) == ["violations"]
    assert decide(report, {"violation_rate_after": 0.12}).passed
    assert codes(decide(report, {"violation_rate_after": 0.09})) == ["violations"]


def test_an_empty_report_is_refused_by_everything():
    assert len(codes(decide({}))) == 19


def test_a_threshold_that_is_missing_is_an_error_and_no_pass():
    with pytest.raises(KeyError):
        gate.decide(GOOD, None, {})


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), st.floats(allow_nan=True) | st.none() | st.booleans()))
def test_it_never_raises_and_passes_only_without_a_failed_check(changes):
    decision = decide({**GOOD, **changes})
    assert decision.passed == (not codes(decision))
    assert len(decision.reasons) == (13 if changes.get("anchor_is_start") is True else 19)
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
