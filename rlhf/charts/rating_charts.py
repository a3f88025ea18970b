"""Ratings of policies month by month as lines, and each with its interval on the axis of its group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from django.utils.formats import date_format

from base.axis import Tick
from rlhf.charts import line_charts
from rlhf.charts.line_charts import LineChart

NAME = "leaderboard/rating"
MOST_CURVES = 6
WIDTH, MARGIN = 160, 6


@dataclass(frozen=True)
class RatingPicture:
    """Places along the x axis, in the units of the SVG."""

    low: float
    dot: float
    high: float
    width: int = WIDTH


def pictures(estimates: Sequence[tuple[float, float, float]]) -> list[RatingPicture]:
    """Of (low, rating, high), all on one axis."""
    least = min((low for low, _rating, _high in estimates), default=0.0)
    most = max((high for _low, _rating, high in estimates), default=1.0)

    def x(value: float) -> float:
        return round(MARGIN + (value - least) / ((most - least) or 1.0) * (WIDTH - 2 * MARGIN), 1)

    return [RatingPicture(x(low), x(rating), x(high)) for low, rating, high in estimates]


def course(months: Sequence[tuple[int, Mapping[int, float]]], named: Mapping[int, str]) -> LineChart | None:
    """Of the first six of `named`, {competitor: name}; None of a single month. A month is its year times 12 plus its
    number from 0."""
    if len(months) < 2:
        return None
    runs = {
        name: [(month, {NAME: ratings.get(one)}) for month, ratings in months]
        for one, name in list(named.items())[:MOST_CURVES]
    }
    found = line_charts.overlaid(runs)
    return replace(found[0], x_ticks=[_in_words(tick) for tick in found[0].x_ticks]) if found else None


def month_name(month: int) -> str:
    return date_format(date(month // 12, month % 12 + 1, 1), "YEAR_MONTH_FORMAT")


def _in_words(tick: Tick) -> Tick:
    return replace(tick, label=month_name(int(tick.label)))
