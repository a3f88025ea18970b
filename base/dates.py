"""Days and months in the site's time zone, and the moments at which they begin."""

from datetime import date, datetime, timedelta
from typing import TypeVar

from django.utils import timezone

D = TypeVar("D", bound=date)


def start_of_today() -> datetime:
    """Midnight, as an aware moment."""
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)


def start_of_day(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.get_default_timezone())


def next_month(day: D) -> D:
    """The first of the month after that of the day, at the same time of day where it has one."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def previous_month(day: D) -> D:
    return (day.replace(day=1) - timedelta(days=1)).replace(day=1)
