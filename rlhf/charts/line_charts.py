"""Line charts of metrics, of one run or of two laid over each other, as data for an SVG without style or script."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from django.utils.functional import Promise

from base import axis
from base.axis import Frame, Tick
from rlhf.charts.curve_options import CurveOptions
from rlhf.charts.metric_labels import TITLES, title_of, unit_of

FRAME = Frame(left=54)
MOST_POINTS = 240
ROWS = 12
EPOCH = "epoch"
"""No curve of its own: where it passes a whole number, the others have a mark."""

Point = tuple[int, float]
Series = Sequence[tuple[int, float | None]]
Metrics = Iterable[tuple[int, Mapping[str, float | None]]]
T = TypeVar("T")


@dataclass(frozen=True)
class Curve:
    label: str
    """Whose it is, where runs are laid over each other."""
    number: int
    """Its place among the runs, by which it looks the same in every chart."""
    lines: list[str]
    """`points` of polylines; a value that is not finite leaves a gap."""
    dots: list[tuple[float, float]]
    """Points without a finite neighbour."""
    measured: list[str]
    """Of a smoothed curve, the polylines before it was smoothed."""
    rows: list[Point]
    """Some of the points as they were measured, for the table beside the curve."""
    lowest: float
    highest: float
    latest: float


@dataclass(frozen=True)
class LineChart:
    name: str
    title: str | Promise
    unit: str | Promise
    curves: list[Curve]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    marks: list[float]
    """Along the x axis: where an epoch ends."""
    refuses_log: bool
    """A logarithmic scale was asked for, and some values are not above 0."""
    frame: Frame = FRAME

    @property
    def middle(self) -> int:
        return (self.frame.left + self.frame.right) // 2

    @property
    def latest(self) -> float:
        return self.curves[0].latest

    @property
    def rows(self) -> list[tuple[int, list[float | None]]]:
        """Each step of the table with the value of each curve."""
        by_step = [dict(curve.rows) for curve in self.curves]
        steps = sorted({step for one in by_step for step in one})
        return [(step, [one.get(step) for one in by_step]) for step in steps]


def charts(metrics: Metrics, options: CurveOptions | None = None) -> list[LineChart]:
    """One chart for each name that has a number, well-known names first. `metrics` are (step, values) in order."""
    return overlaid({"": metrics}, options)


def overlaid(runs: Mapping[str, Metrics], options: CurveOptions | None = None) -> list[LineChart]:
    """The charts of several runs, each with a curve of every run that has the metric."""
    found = {label: _by_name(metrics) for label, metrics in runs.items()}
    names = {name for series in found.values() for name in series} - {EPOCH}
    known = [name for name in TITLES if name in names]
    marks = _epoch_ends(next(iter(found.values())).get(EPOCH, ())) if len(found) == 1 else []
    made = []
    for name in (*known, *sorted(names - set(known))):
        of_runs = {label: series.get(name, []) for label, series in found.items()}
        made.append(_chart(name, of_runs, options or CurveOptions(), marks))
    return [one for one in made if one is not None]


def chart(name: str, series: Series, options: CurveOptions | None = None) -> LineChart | None:
    return _chart(name, {"": series}, options or CurveOptions(), [])


def smoothed(series: Series, weight: float) -> list[tuple[int, float | None]]:
    """An exponential moving average without the pull of its start towards 0 (Kingma & Ba, arXiv:1412.6980, section
    3), as TensorBoard draws it. What is not finite stays a gap and counts for nothing."""
    average, total, found = 0.0, 0.0, list[tuple[int, float | None]]()
    for step, value in series:
        if value is not None and _is_finite(value):
            average = weight * average + (1 - weight) * value
            total = weight * total + (1 - weight)
            found.append((step, average / total))
        else:
            found.append((step, None))
    return found


def _by_name(metrics: Metrics) -> dict[str, list[tuple[int, float | None]]]:
    series: dict[str, list[tuple[int, float | None]]] = {}
    for step, values in metrics:
        for name, value in values.items():
            if value is None or isinstance(value, int | float):
                series.setdefault(name, []).append((step, value))
    return series


@dataclass(frozen=True)
class _Plot:
    """Where a point stands in the frame."""

    first: int
    last: int
    low: float
    high: float
    height: Callable[[float], float]
    """The value itself, or its logarithm; `low` and `high` are of this."""

    def position(self, point: Point) -> tuple[float, float]:
        share = (self.height(point[1]) - self.low) / (self.high - self.low)
        return round(self.x(point[0]), 1), round(FRAME.bottom - share * (FRAME.bottom - FRAME.top), 1)

    def x(self, step: int) -> float:
        return FRAME.left + (step - self.first) / (self.last - self.first) * (FRAME.right - FRAME.left)


def _chart(name: str, runs: Mapping[str, Series], options: CurveOptions, marks: Sequence[int]) -> LineChart | None:
    measured = {label: series for label, series in runs.items() if _numbers(series)}
    if not measured:
        return None
    values = [value for series in measured.values() for _step, value in _numbers(series)]
    steps = [step for series in measured.values() for step, _value in series]
    first, end = min(steps), max(steps)
    is_log = options.is_log and min(values) > 0
    heights = _log_ticks(min(values), max(values)) if is_log else axis.ticks(*_ends(values))
    height = math.log10 if is_log else float
    plot = _Plot(first, max(end, first + 1), height(heights[0]), height(heights[-1]), height)
    return LineChart(
        name=name,
        title=title_of(name),
        unit=unit_of(name),
        curves=[
            _curve(label, number, series, plot, options.smoothing)
            for number, (label, series) in enumerate(runs.items(), start=1)
            if label in measured
        ],
        x_ticks=[Tick(round(plot.x(step), 1), str(step)) for step in dict.fromkeys((first, end))],
        y_ticks=[
            Tick(plot.position((first, value))[1], f"{value:g}" if is_log else axis.label(value, heights))
            for value in heights
        ],
        marks=[round(plot.x(step), 1) for step in marks if first < step < end],
        refuses_log=options.is_log and not is_log,
    )


def _curve(label: str, number: int, series: Series, plot: _Plot, smoothing: float) -> Curve:
    numbers = _numbers(series)
    shown = _drawn(smoothed(series, smoothing), plot)
    return Curve(
        label=label,
        number=number,
        lines=_polylines(shown),
        dots=[piece[0] for piece in shown if len(piece) == 1],
        measured=_polylines(_drawn(series, plot)) if smoothing else [],
        rows=_every(numbers, ROWS),
        lowest=min(value for _step, value in numbers),
        highest=max(value for _step, value in numbers),
        latest=numbers[-1][1],
    )


def _drawn(series: Series, plot: _Plot) -> list[list[tuple[float, float]]]:
    return [[plot.position(point) for point in piece] for piece in _unbroken(_every(list(series), MOST_POINTS))]


def _polylines(pieces: Iterable[Sequence[tuple[float, float]]]) -> list[str]:
    return [" ".join(f"{x},{y}" for x, y in piece) for piece in pieces if len(piece) > 1]


def _numbers(series: Series) -> list[Point]:
    return [(step, float(value)) for step, value in series if value is not None and _is_finite(value)]


def _is_finite(value: float | None) -> bool:
    return value is not None and not isinstance(value, bool) and math.isfinite(value)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Least and greatest; around a constant, with a margin."""
    low, high = min(values), max(values)
    room = 0.0 if high > low else abs(high) * 0.1 or 1.0
    return low - room, high + room


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten around the values; within two decades 1, 2 and 5 times each, as far as they are needed."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 2:
        return [10.0**power for power in range(first, last + 1)]
    fine = [times * 10.0**power for power in range(first, last + 1) for times in (1, 2, 5)]
    start = max(index for index, value in enumerate(fine) if value <= low)
    stop = min((index for index, value in enumerate(fine) if value >= high), default=len(fine) - 1)
    return fine[start : max(stop, start + 1) + 1]


def _epoch_ends(series: Series) -> list[int]:
    """The step at which each epoch ends, or the first one measured after it."""
    numbers = _numbers(series)
    return [step for (_, before), (step, epoch) in pairwise(numbers) if int(epoch) > int(before)]


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
