"""Line charts of a run's metrics, as data for an SVG without style or script."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from base import axis
from base.axis import Frame, Tick

FRAME = Frame(left=54)
MOST_POINTS = 240
ROWS = 12
TITLES: dict[str, str | Promise] = {
    "objective/rlhf_reward": _("Reward"),
    "objective/kl": _("KL, nats per reply"),
    "objective/scores": _("Score"),
    "completions/mean_length": _("Length, tokens"),
    "objective/entropy": _("Entropy"),
    "loss": _("Loss"),
    "loss/policy_avg": _("Policy loss"),
    "sampler/nats": _("Sampler to scorer, nats per token"),
    "accuracy": _("Accuracy on pairs"),
    "margin": _("Margin"),
    "reward": _("Reward"),
    "kl": _("KL"),
    "entropy": _("Entropy"),
}
"""TRL's names of the curves that are shown first, in this order."""

Point = tuple[int, float]
T = TypeVar("T")


@dataclass(frozen=True)
class LineChart:
    name: str
    title: str | Promise
    lines: list[str]
    """`points` of polylines; a value that is not finite leaves a gap."""
    dots: list[tuple[float, float]]
    """Points without a finite neighbour."""
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    rows: list[Point]
    """Some of the points, for the table beside the curve."""
    latest: float
    frame: Frame = FRAME

    @property
    def middle(self) -> int:
        return (self.frame.left + self.frame.right) // 2


def charts(metrics: Iterable[tuple[int, dict[str, float | None]]]) -> list[LineChart]:
    """One chart for each name that has a number, well-known names first. `metrics` are (step, values) in order."""
    series: dict[str, list[tuple[int, float | None]]] = {}
    for step, values in metrics:
        for name, value in values.items():
            if value is None or isinstance(value, int | float):
                series.setdefault(name, []).append((step, value))
    known = [name for name in TITLES if name in series]
    others = sorted(set(series) - set(known))
    made = [chart(name, series[name]) for name in (*known, *others)]
    return [one for one in made if one is not None]


def chart(name: str, series: Sequence[tuple[int, float | None]]) -> LineChart | None:
    numbers = [(step, float(value)) for step, value in series if value is not None and _is_finite(value)]
    if not numbers:
        return None
    heights = axis.ticks(*_ends([value for _step, value in numbers]))
    low, high = heights[0], heights[-1]
    first, last = series[0][0], max(series[-1][0], series[0][0] + 1)

    def position(point: Point) -> tuple[float, float]:
        x = FRAME.left + (point[0] - first) / (last - first) * (FRAME.right - FRAME.left)
        y = FRAME.bottom - (point[1] - low) / (high - low) * (FRAME.bottom - FRAME.top)
        return round(x, 1), round(y, 1)

    pieces = [[position(point) for point in piece] for piece in _unbroken(_thinned(series))]
    return LineChart(
        name=name,
        title=TITLES.get(name, name),
        lines=[" ".join(f"{x},{y}" for x, y in piece) for piece in pieces if len(piece) > 1],
        dots=[piece[0] for piece in pieces if len(piece) == 1],
        x_ticks=[Tick(position((step, low))[0], str(step)) for step in dict.fromkeys((first, series[-1][0]))],
        y_ticks=[Tick(position((first, value))[1], axis.label(value, heights)) for value in heights],
        rows=_every(numbers, ROWS),
        latest=numbers[-1][1],
    )


def _is_finite(value: float | None) -> bool:
    return value is not None and not isinstance(value, bool) and math.isfinite(value)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Least and greatest; around a constant, with a margin."""
    low, high = min(values), max(values)
    room = 0.0 if high > low else abs(high) * 0.1 or 1.0
    return low - room, high + room


def _thinned(series: Sequence[tuple[int, float | None]]) -> list[tuple[int, float | None]]:
    return _every(list(series), MOST_POINTS)


def _every(items: list[T], most: int) -> list[T]:
    """At most `most` of the items, evenly, the last always among them."""
    if len(items) <= most:
        return items
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def _unbroken(series: Iterable[tuple[int, float | None]]) -> list[list[Point]]:
    pieces: list[list[Point]] = [[]]
    for step, value in series:
        if value is not None and _is_finite(value):
            pieces[-1].append((step, value))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]
