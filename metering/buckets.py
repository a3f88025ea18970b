"""Usage and costs in buckets of a minute, an hour or a day of UTC, as the API tells them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Trunc

from metering.bill import SUMS
from metering.models import Usage

UNITS = {"1m": ("minute", 60), "1h": ("hour", 3600), "1d": ("day", 86_400)}
LINE_ITEMS = {
    "input": Sum(F("prompt_tokens") * F("prompt_price")),
    "output": Sum(F("completion_tokens") * F("completion_price")),
    "training": Sum(F("trained_tokens") * F("training_price")),
}
"""What a cost is made of; their sum is `Usage.cost`."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Window:
    """Buckets one after the other; seconds of Unix time, each bucket begins at a multiple of its width."""

    start: int
    end: int
    """No bucket begins at it or later."""
    width: str
    limit: int

    @property
    def width_s(self) -> int:
        return UNITS[self.width][1]

    @property
    def starts(self) -> list[int]:
        """Of the buckets on this page."""
        first = self.start - self.start % self.width_s
        return list(range(first, self.end, self.width_s)[: self.limit])

    @property
    def next_start(self) -> int | None:
        """Of the first bucket that is on this page no more."""
        starts = self.starts
        following = starts[-1] + self.width_s if starts else self.end
        return following if following < self.end else None


def usage(rows: QuerySet[Usage], window: Window, by: Sequence[str]) -> dict[int, list[Row]]:
    """By the start of each bucket: a row of sums for each value of the columns; none where nothing was used."""
    return collected(rows, window, by, SUMS)


def costs(rows: QuerySet[Usage], window: Window, by: Sequence[str], *, by_line: bool) -> dict[int, list[Row]]:
    """As `usage`; nano-dollars as `cost`, and where asked for the model and the part of the cost as `line`."""
    if not by_line:
        found = collected(rows, window, by, {"nano": Sum("cost")})
        return {start: [{**row, "line": None} for row in rows_of] for start, rows_of in found.items()}
    found = collected(rows, window, ("model", *by), LINE_ITEMS)
    return {start: [line for row in rows_of for line in lines(row)] for start, rows_of in found.items()}


def lines(row: Row) -> list[Row]:
    """The parts of a cost that are not nothing, each named as in `davinci, training`."""
    return [{**row, "nano": row[part], "line": f"{row['model']}, {part}"} for part in LINE_ITEMS if row[part]]


def collected(
    rows: QuerySet[Usage], window: Window, by: Sequence[str], sums: Mapping[str, Sum]
) -> dict[int, list[Row]]:
    starts = window.starts
    if not starts:
        return {}
    found = rows.filter(at__gte=moment(starts[0]), at__lt=moment(starts[-1] + window.width_s)).order_by()
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


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
