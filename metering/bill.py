"""Usage added up: by day, by model, by key, by person, and in all. Nothing is rounded anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

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
    """What all usage of one model, key or person comes to."""

    of: Mapping[str, Any]
    sums: Sums


def total(rows: QuerySet[Usage]) -> Sums:
    return _sums_in(rows.aggregate(**SUMS))


def by(rows: QuerySet[Usage], *columns: str) -> list[Subtotal]:
    """A line for each value of the columns, the dearest first."""
    found = rows.order_by().values(*columns).annotate(**SUMS)
    lines = [Subtotal({column: row[column] for column in columns}, _sums_in(row)) for row in found]
    return sorted(lines, key=lambda line: (-line.sums.cost, -line.sums.tokens, str(line.of)))


def by_day(rows: QuerySet[Usage], month: date) -> list[tuple[date, Sums]]:
    """Every day of the month in the site's time zone, also those without usage."""
    found = rows.order_by().annotate(day=TruncDate("at")).values("day").annotate(**SUMS)
    known = {row["day"]: _sums_in(row) for row in found}
    days = (next_month(month) - month).days
    return [(day, known.get(day, Sums())) for day in (month + timedelta(days=number) for number in range(days))]


def in_month(rows: QuerySet[Usage], month: date) -> QuerySet[Usage]:
    return rows.filter(at__gte=_midnight(month), at__lt=_midnight(next_month(month)))


def next_month(month: date) -> date:
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def former_month(month: date) -> date:
    return (month.replace(day=1) - timedelta(days=1)).replace(day=1)


def _midnight(day: date) -> datetime:
    """At which the day begins in the site's time zone."""
    return datetime(day.year, day.month, day.day, tzinfo=timezone.get_default_timezone())


def _sums_in(row: Mapping[str, Any]) -> Sums:
    return Sums(**{name: row[f"sum_{name}"] or 0 for name in COUNTED})
