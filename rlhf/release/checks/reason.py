"""One condition of the gate with its figures, and the ways in which a value is compared with its limit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rlhf.release.report_values import number

Report = Mapping[str, Any]
Thresholds = Mapping[str, float]


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


def measured(reason: Reason, report: Report, name: str) -> Reason:
    """The reason with the estimate of that name in the report and the interval beside it."""
    estimate, low, high = (number(report.get(key)) for key in (name, f"{name}_low", f"{name}_high"))
    return replace(reason, estimate=estimate, low=low, high=high)


def above(code: str, text: str, value: Any, limit: float) -> Reason:
    value = number(value)
    return Reason(code, text, value, ">", limit, value is not None and value > limit)


def at_least(code: str, text: str, value: Any, limit: float) -> Reason:
    value = number(value)
    return Reason(code, text, value, "≥", limit, value is not None and value >= limit)


def at_most(code: str, text: str, value: Any, limit: float | None) -> Reason:
    """Does not hold where there is no limit to compare with."""
    value = number(value)
    holds = value is not None and limit is not None and value <= limit
    return Reason(code, text, value, "≤", limit, holds)


def is_true(code: str, text: str, value: Any) -> Reason:
    return Reason(code, text, value if isinstance(value, bool) else None, "", True, value is True)
