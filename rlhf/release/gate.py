"""The gate: decides by evaluation reports and thresholds whether a candidate passes. Pure: no row, no file.

A number that is missing or not finite refuses: a candidate is promoted for what was measured, never for what was not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rlhf.release.report_values import number, number_at

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Reason:
    """One condition with its figures."""

    code: str
    text: str
    value: float | bool | None
    sign: str
    """How the value has to compare with the limit; empty for a condition without numbers."""
    limit: float | bool | None
    holds: bool
    estimate: float | None = None
    """What was measured, where `value` is a bound of it."""
    low: float | None = None
    high: float | None = None
    """The 95 % interval of what was measured; None where none was computed."""


@dataclass(frozen=True)
class GateResult:
    passed: bool
    reasons: list[dict[str, Any]]
    """Every condition as a dict of Reason's fields, those that hold as well as those that failed."""


def decide(candidate: Report, live: Report | None, thresholds: Mapping[str, float]) -> GateResult:
    """`candidate` compares the candidate with the live policy on the same held-out prompts; `live` is the report by
    which the live policy was promoted, None for a base policy."""
    checks = list(_all_checks(candidate, live, thresholds))
    return GateResult(all(check.holds for check in checks), [asdict(check) for check in checks])


def _all_checks(candidate: Report, live: Report | None, thresholds: Mapping[str, float]) -> Iterator[Reason]:
    t = thresholds
    yield _measured(
        _above("win_rate", "lower bound of the win rate", candidate.get("win_rate_low"), t["win_rate_low_min"]),
        candidate,
        "win_rate",
    )
    yield _measured(
        _at_most(
            "violations",
            "rule violations, against those of the live policy",
            candidate.get("violation_rate_after"),
            _violation_limit(candidate, live, t["violation_rise_max"]),
        ),
        candidate,
        "violation_rate_after",
    )
    cut = number_at(candidate, "controls", "stop_controlled", "low")
    yield replace(
        _at_least(
            "stop_controlled",
            "lower bound of the win rate with both sides cut to the first sentence",
            cut,
            t["stop_controlled_low_min"],
        ),
        estimate=number_at(candidate, "controls", "stop_controlled", "win_rate"),
        low=cut,
        high=number_at(candidate, "controls", "stop_controlled", "high"),
    )
    yield _at_most("kl", "KL from the start, nats a reply", candidate.get("kl_nats"), t["kl_nats_max"])
    length = candidate.get("length_ratio")
    yield _at_least("too_short", "length against the live policy", length, t["length_ratio_min"])
    yield _at_most("too_long", "length against the live policy", length, t["length_ratio_max"])
    if candidate.get("anchor_is_start") is not True:
        yield from _anchor_checks(candidate, t)
    yield _at_most("repetition", "share of repeated 3-grams", candidate.get("repetition"), t["repetition_max"])
    yield _at_most("empty", "share of empty replies", candidate.get("empty_rate"), t["empty_rate_max"])
    yield _at_most(
        "perplexity",
        "perplexity of human text, against before",
        candidate.get("perplexity_ratio"),
        t["perplexity_ratio_max"],
    )
    # The default, 1.3, lies between figures seen: 1.0 of the base itself, 1.04 to 1.13 of good ones (KL 4 to 6.6),
    # 1.2 of a change doubled (KL 9: curt, but English), 1.4 of it tripled (KL 11: made-up words).
    yield _at_most(
        "surprise",
        "the base's surprise at a token of a reply, against its surprise at its own replies",
        candidate.get("surprise_ratio"),
        t["surprise_ratio_max"],
    )
    yield _at_most(
        "served",
        "KL of the file that answers people from the trained weights, nats a token",
        candidate.get("served_kl_nats"),
        t["served_kl_nats_max"],
    )
    yield _is_true("finite", "all tensors finite", candidate.get("tensors_finite"))
    yield _is_true("baseline", "compared with the policy that is live now", candidate.get("baseline_is_live"))


def _anchor_checks(candidate: Report, t: Mapping[str, float]) -> Iterator[Reason]:
    """Against the original base. What a reader of it must bear has one limit, however many cycles led there; KL may
    grow with them."""
    kl, length = candidate.get("anchor_kl_nats"), candidate.get("anchor_length_ratio")
    yield _at_most("anchor_kl", "KL from the original base, nats a reply", kl, t["anchor_kl_nats_max"])
    yield _at_least("anchor_too_short", "length against the original base", length, t["length_ratio_min"])
    yield _at_most("anchor_too_long", "length against the original base", length, t["length_ratio_max"])
    yield _at_most(
        "anchor_perplexity",
        "perplexity of human text, against the original base",
        candidate.get("anchor_perplexity_ratio"),
        t["perplexity_ratio_max"],
    )
    yield _at_most(
        "anchor_surprise",
        "the original base's surprise at a token of a reply, against its surprise at its own replies",
        candidate.get("anchor_surprise_ratio"),
        t["surprise_ratio_max"],
    )
    before = number(candidate.get("anchor_violation_rate"))
    violations = _at_most(
        "anchor_violations",
        "rule violations, against those of the original base",
        candidate.get("violation_rate_after"),
        None if before is None else before + t["violation_rise_max"],
    )
    yield _measured(violations, candidate, "violation_rate_after")


def _violation_limit(candidate: Report, live: Report | None, rise_max: float) -> float | None:
    """The live policy's rate, on these prompts or when it was promoted itself, whichever is higher, plus the rise.

    Both are draws of one rate, and the candidate shall not fail because the live policy was lucky in this one.
    """
    before = number(candidate.get("violation_rate_before"))
    if before is None:
        return None
    earlier = number((live or {}).get("violation_rate_after"))
    return max(before, earlier if earlier is not None else before) + rise_max


def _measured(reason: Reason, report: Report, name: str) -> Reason:
    """The reason with the estimate of that name in the report and the interval beside it."""
    estimate, low, high = (number(report.get(key)) for key in (name, f"{name}_low", f"{name}_high"))
    return replace(reason, estimate=estimate, low=low, high=high)


def _above(code: str, text: str, value: Any, limit: float) -> Reason:
    value = number(value)
    return Reason(code, text, value, ">", limit, value is not None and value > limit)


def _at_least(code: str, text: str, value: Any, limit: float) -> Reason:
    value = number(value)
    return Reason(code, text, value, "≥", limit, value is not None and value >= limit)


def _at_most(code: str, text: str, value: Any, limit: float | None) -> Reason:
    value = number(value)
    holds = value is not None and limit is not None and value <= limit
    return Reason(code, text, value, "≤", limit, holds)


def _is_true(code: str, text: str, value: Any) -> Reason:
    return Reason(code, text, value if isinstance(value, bool) else None, "", True, value is True)
