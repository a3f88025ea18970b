"""What all charts share: the frame around a plot, and round numbers along an axis."""

import math
from dataclasses import dataclass

PARTS = 4
"""Approximate number of intervals between ticks."""
SLACK = 1e-9
"""Tolerance for floating-point error, relative to a step."""


@dataclass(frozen=True)
class Frame:
    """The size of a chart and the edges of the plot in it, in the units of its SVG."""

    left: int
    """Beside it stand the labels of the y axis."""
    width: int = 320
    height: int = 150
    right: int = 312
    top: int = 8
    bottom: int = 130


@dataclass(frozen=True)
class Tick:
    at: float
    """Along its axis, in the units of the SVG."""
    label: str


def ticks(low: float, high: float, least: float = 0.0) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, at least `least` apart; `low` and `high` lie between the ends."""
    rough = max((high - low) / PARTS, least)
    power = 10.0 ** math.floor(math.log10(rough) + SLACK)
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - SLACK))
    first, last = math.floor(low / step + SLACK), math.ceil(high / step - SLACK)
    return [number * step for number in range(first, last + 1)]


def label(value: float, ticks: list[float]) -> str:
    """With as many digits after the point as the ticks need to differ."""
    step = ticks[1] - ticks[0]
    digits = max(0, -math.floor(math.log10(step) + SLACK))
    text = f"{value:,.{digits}f}" if digits < 5 else f"{value:.1e}"
    return "0" if float(text.replace(",", "")) == 0 else text.replace("-", "−", 1)
