"""The conditions of a stored decision of the gate as pages show them, those of older versions included."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlhf import labels
from rlhf.charts.interval_pictures import IntervalPicture, picture
from rlhf.models import Decision
from rlhf.release.report_values import number


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

    @property
    def interval(self) -> dict[str, float | None]:
        return {"low": self.low, "high": self.high}


def of_decision(decision: Decision) -> list[Condition]:
    """Those that failed first; within each part as the gate checks them."""
    made = [_condition(reason, decision.holding(reason)) for reason in decision.reasons]
    return sorted(made, key=lambda condition: condition.holds)


def is_complete(decision: Decision) -> bool:
    """False of a refusal that was stored when only the failed conditions were."""
    return decision.passed or any("holds" in reason for reason in decision.reasons)


def _condition(reason: Mapping[str, Any], holds: bool) -> Condition:
    code, value, limit = reason.get("code", ""), number(reason.get("value")), number(reason.get("limit"))
    sign = reason["sign"] if "sign" in reason else labels.OLD_SIGNS.get(code, "")
    low, high = number(reason.get("low")), number(reason.get("high"))
    measured = number(reason.get("estimate"))
    estimate = value if measured is None else measured
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
    )
