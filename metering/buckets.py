"""Usage and costs in buckets of a minute, an hour or a day (UTC), for the API."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Trunc

from metering.bill import SUMS
from metering.models import Usage

UNITS = {"1m": ("minute", 60), "1h": ("hour", 3600), "1d": ("day", 86_400)}
PARTS = {
    "input_tokens": ("prompt_tokens", "prompt_price"),
    "output_tokens": ("completion_tokens", "completion_price"),
    "trained_tokens": ("trained_tokens", "training_price"),
}
"""The parts of a cost, by the names that they have in OpenAI's API."""
LINE_SUMS = {
    **{f"nano_{part}": Sum(F(tokens) * F(price)) for part, (tokens, price) in PARTS.items()},
    **{f"count_{part}": Sum(tokens) for part, (tokens, _price) in PARTS.items()},
}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Window:
    """A page of consecutive buckets, in Unix seconds. Each bucket begins at a multiple of its width."""

    start: int
    end: int
    """Every bucket begins before it."""
    width: str
    limit: int

    @property
    def width_s(self) -> int:
        return UNITS[self.width][1]

    @property
    def starts(self) -> list[int]:
        """When each bucket on this page begins."""
        first = self.start - self.start % self.width_s
        return list(range(first, self.end, self.width_s)[: self.limit])

    @property
    def next_start(self) -> int | None:
        """When the first bucket of the next page begins; None on the last page."""
        starts = self.starts
        following = starts[-1] + self.width_s if starts else self.end
        return following if following < self.end else None


def usage(rows: QuerySet[Usage], window: Window, by: Sequence[str]) -> dict[int, list[Row]]:
    """Rows of sums by the start of their bucket, one for each combination of the columns' values that has usage."""
    return _rows_by_bucket(rows, window, by, SUMS)


def costs(rows: QuerySet[Usage], window: Window, by: Sequence[str]) -> dict[int, list[Row]]:
    """As `usage`, with the cost in nano-dollars as `nano`."""
    return _rows_by_bucket(rows, window, by, {"nano": Sum("cost")})


def costs_by_line(
    rows: QuerySet[Usage], window: Window, by: Sequence[str], wanted: Collection[str] = ()
) -> dict[int, list[Row]]:
    """As `costs`, by model and part of the cost (`line`, `count` tokens). `wanted`: only these lines, if any."""
    found = _rows_by_bucket(rows, window, ("model", *by), LINE_SUMS)
    return {
        start: [line for row in rows_of for line in _lines(row) if not wanted or line["line"] in wanted]
        for start, rows_of in found.items()
    }


def _lines(row: Row) -> list[Row]:
    """The parts of a cost that are not zero, each named as in `davinci, input_tokens`."""
    return [
        {**row, "nano": row[f"nano_{part}"], "count": row[f"count_{part}"], "line": f"{row['model']}, {part}"}
        for part in PARTS
        if row[f"nano_{part}"]
    ]


def _rows_by_bucket(
    rows: QuerySet[Usage], window: Window, by: Sequence[str], sums: Mapping[str, Sum]
) -> dict[int, list[Row]]:
    starts = window.starts
    if not starts:
        return {}
    found = rows.filter(at__gte=_moment(starts[0]), at__lt=_moment(starts[-1] + window.width_s)).order_by()
    found_rows = (
        found.annotate(bucket=Trunc("at", UNITS[window.width][0], tzinfo=UTC))
        .values("bucket", *by)
        .annotate(**sums)
        .order_by("bucket", *by)
    )
    buckets: dict[int, list[Row]] = {start: [] for start in starts}
    for row in found_rows:
        buckets[int(row["bucket"].timestamp())].append(row)
    return buckets


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
