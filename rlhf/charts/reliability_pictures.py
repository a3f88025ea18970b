"""A picture of how often a judge is right beside how sure it is, as data for an SVG without style or script."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlhf.release.report_values import number_at
from rlhf.release.trial import wilson

SIZE, LEFT, TOP, BOTTOM = 150, 34, 8, 20


@dataclass(frozen=True)
class Bin:
    """One bin of comparisons, in figures and in the units of the SVG."""

    n: int
    predicted: float
    right: float
    low: float
    """Wilson's 95 % bounds of `right`, as if the comparisons were independent."""
    high: float
    x: float
    y: float
    y_low: float
    y_high: float


@dataclass(frozen=True)
class ReliabilityPicture:
    bins: list[Bin]
    ticks: list[tuple[float, float, str]]
    """(along the x axis, along the y axis, percent)."""
    left: int = LEFT
    right: int = LEFT + SIZE
    top: int = TOP
    bottom: int = TOP + SIZE
    width: int = LEFT + SIZE + 18
    height: int = TOP + SIZE + BOTTOM


def reliability_picture(report: Mapping[str, Any]) -> ReliabilityPicture | None:
    """Of the bins in an evaluation's report; None where it holds none that can be read."""
    named = report.get("judge_reliability")
    if not isinstance(named, Mapping):
        return None
    found = [_numbers(named, name) for name in sorted(named, key=lambda name: (len(name), name))]
    known = [numbers for numbers in found if numbers is not None]
    if not known:
        return None
    bounds = [wilson(right * n, int(n)) for n, _, right in known]
    least = min(0.5, *(predicted for _, predicted, _ in known), *(low for low, _ in bounds))
    first = max(0.0, math.floor(least * 10) / 10)

    def along(value: float) -> float:
        return round((value - first) / (1 - first) * SIZE, 1)

    def y(value: float) -> float:
        return round(TOP + SIZE - along(value), 1)

    bins = [
        Bin(int(n), predicted, right, low, high, LEFT + along(predicted), y(right), y(low), y(high))
        for (n, predicted, right), (low, high) in zip(known, bounds, strict=True)
    ]
    ticks = [(LEFT + along(v), y(v), f"{100 * v:.0f} %") for v in (first, (1 + first) / 2, 1.0)]
    return ReliabilityPicture(bins, ticks)


def _numbers(named: Mapping[str, Any], name: str) -> tuple[float, float, float] | None:
    n, predicted, right = (number_at(named, name, key) for key in ("n", "predicted", "right"))
    return None if n is None or n < 1 or predicted is None or right is None else (n, predicted, right)
