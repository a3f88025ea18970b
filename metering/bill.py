"""Sums of usage and costs: in total, per day, and per model, key or person. Nothing is rounded."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncDate

from base.dates import next_month, start_of_day
from metering.models import Usage

COUNTED = ("requests", "prompt_tokens", "completion_tokens", "trained_tokens", "cost")
SUMS = {f"sum_{name}": Sum(name) for name in COUNTED}


@dataclass(frozen=True)
class Sums:
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    trained_tokens: int = 0
    cost: int = 0
    """Nano-dollars."""

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens + self.trained_tokens


@dataclass(frozen=True)
class Subtotal:
    """The sums of one model, key or person."""

    of: Mapping[str, Any]
    """The columns' values, by column."""
    sums: Sums


def total(rows: QuerySet[Usage]) -> Sums:
    return _sums_in(rows.aggregate(**SUMS))


def by(rows: QuerySet[Usage], *columns: str) -> list[Subtotal]:
    """A subtotal for each combination of the columns' values, the most expensive first."""
    found = rows.order_by().values(*columns).annotate(**SUMS)
    subtotals = [Subtotal({column: row[column] for column in columns}, _sums_in(row)) for row in found]
    return sorted(subtotals, key=lambda one: (-one.sums.cost, -one.sums.tokens, str(one.of)))


def by_day(rows: QuerySet[Usage], month: date) -> list[tuple[date, Sums]]:
    """Every day of the month in the site's time zone, also those without usage."""
    found = rows.order_by().annotate(day=TruncDate("at")).values("day").annotate(**SUMS)
    known = {row["day"]: _sums_in(row) for row in found}
    days = (next_month(month) - month).days
    return [(day, known.get(day, Sums())) for day in (month + timedelta(days=number) for number in range(days))]


def in_month(rows: QuerySet[Usage], month: date) -> QuerySet[Usage]:
    return rows.filter(at__gte=start_of_day(month), at__lt=start_of_day(next_month(month)))


def _sums_in(row: Mapping[str, Any]) -> Sums:
    return Sums(**{name: row[f"sum_{name}"] or 0 for name in COUNTED})
