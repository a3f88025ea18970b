"""The conditions of a stored decision of the gate as pages show them, those of older versions included."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from rlhf import labels
from rlhf.charts.interval_pictures import IntervalPicture, picture
from rlhf.models import Decision
from rlhf.release.checks import probing
from rlhf.release.report_values import number

Z_PASS, Z_MOST = 1.645, 0.842
"""Of a one-sided bound of 95 %, and of what passes four times in five."""


@dataclass(frozen=True)
class DecisionLevel:
    """What a decision may claim by chance, and what that asked of the win rate."""

    number: int
    level: str
    bound: float | None
    limit: float | None


@dataclass(frozen=True)
class Condition:
    code: str
    words: str
    holds: bool
    value: float | bool | None
    """What the gate compared with the limit; None where it was not measured."""
    sign: str
    limit: float | bool | None
    estimate: float | None
    """What was measured; `value` may be a bound of it."""
    low: float | None
    high: float | None
    is_measured: bool
    picture: IntervalPicture | None
    """None where there are no two numbers to compare."""
    hint: str = ""
    """What would do, where too little was measured to say."""
    is_waived: bool = False
    """It is not met, and this site does not ask for it."""

    @property
    def interval(self) -> dict[str, float | None]:
        return {"low": self.low, "high": self.high}


def of_decision(decision: Decision) -> list[Condition]:
    """Those that failed first; within each part as the gate checks them."""
    report = decision.evaluation.report
    made = [_condition(reason, decision.holding(reason), report) for reason in decision.reasons]
    return sorted(made, key=lambda condition: condition.holds)


def budget(decision: Decision | None) -> DecisionLevel | None:
    """None of a decision that was made before levels were kept."""
    evaluation = decision.evaluation if decision is not None else None
    if decision is None or evaluation is None or evaluation.number is None or evaluation.level is None:
        return None
    won: Mapping[str, Any] = next((reason for reason in decision.reasons if reason.get("code") == "win_rate"), {})
    level = f"{100 * evaluation.level:.2g} %"
    return DecisionLevel(evaluation.number, level, number(won.get("value")), number(won.get("limit")))


def is_complete(decision: Decision) -> bool:
    """False of a refusal that was stored when only the failed conditions were."""
    return decision.passed or any("holds" in reason for reason in decision.reasons)


def _missing(reason: Mapping[str, Any]) -> int:
    """How many judged probes are missing until both policies can be compared."""
    value, limit = number(reason.get("value")) or 0, number(reason.get("limit"))
    if reason.get("code") not in probing.NUMBERS or limit is None:
        return 0
    return max(0, math.ceil(limit - value))


def _hint_of_probes(missing: int, holds: bool) -> str:
    lacking = ngettext(
        "%(n)d is missing, so the gate does not know it.", "%(n)d are missing, so the gate does not know it.", missing
    )
    told = _("This does not count against the candidate.") if holds else _("This site asks for them.")
    return f"{lacking % {'n': missing}} {told}"


def _hint(reason: Mapping[str, Any], holds: bool, report: Mapping[str, Any]) -> str:
    """How many prompts would do, where violations did not visibly rise and the bound is too wide to say so."""
    upper, limit, rise = (number(reason.get(key)) for key in ("value", "limit", "estimate"))
    prompts = number(report.get("violation_prompts"))
    is_of_rise = reason.get("code") in ("violations", "anchor_violations")
    if holds or not is_of_rise or upper is None or rise is None or prompts is None or not limit or rise > limit:
        return ""
    error = (upper - rise) / Z_PASS
    needed = math.ceil(prompts * ((Z_PASS + Z_MOST) * error / limit) ** 2)
    return _("About %(n)d prompts of this kind would do to show that there is no rise.") % {"n": needed}


def _condition(reason: Mapping[str, Any], holds: bool, report: Mapping[str, Any]) -> Condition:
    code, value, limit = reason.get("code", ""), number(reason.get("value")), number(reason.get("limit"))
    sign = reason["sign"] if "sign" in reason else labels.OLD_SIGNS.get(code, "")
    low, high = number(reason.get("low")), number(reason.get("high"))
    measured = number(reason.get("estimate"))
    estimate = value if measured is None else measured
    missing = _missing(reason)
    drawn = None
    if estimate is not None and limit is not None:
        drawn = picture(estimate, limit, sign, low, high)
    return Condition(
        code=code,
        words=str(labels.REASONS.get(code, reason.get("text", ""))),
        holds=holds,
        value=reason.get("value"),
        sign=sign,
        limit=reason.get("limit"),
        estimate=estimate,
        low=low,
        high=high,
        is_measured=reason.get("value") is not None,
        picture=drawn,
        hint=_hint_of_probes(missing, holds) if missing else _hint(reason, holds, report),
        is_waived=holds and missing > 0,
    )
