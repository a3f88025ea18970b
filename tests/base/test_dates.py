"""Days and months of the site's time zone."""

from datetime import UTC, date, datetime

import pytest
from django.utils import timezone

from base import dates


@pytest.mark.parametrize(
    ("day", "previous", "following"),
    [
        (date(2026, 1, 31), date(2025, 12, 1), date(2026, 2, 1)),
        (date(2028, 2, 29), date(2028, 1, 1), date(2028, 3, 1)),
        (date(2026, 12, 1), date(2026, 11, 1), date(2027, 1, 1)),
    ],
)
def test_months_before_and_after(day, previous, following):
    assert dates.previous_month(day) == previous
    assert dates.next_month(day) == following


def test_a_day_begins_at_midnight_where_the_site_is(settings, monkeypatch):
    settings.TIME_ZONE = "Asia/Seoul"
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 11, 5, 16, 30, tzinfo=UTC))
    assert dates.start_of_today() == datetime(2026, 11, 5, 15, tzinfo=UTC)
    assert dates.start_of_day(date(2026, 11, 6)) == datetime(2026, 11, 5, 15, tzinfo=UTC)
