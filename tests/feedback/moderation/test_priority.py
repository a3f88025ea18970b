"""The priority of an item, against sums by hand and for whatever records there are."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.moderation import priority
from feedback.moderation.priority import MOST_FOR_AGE, Record

RECORDS = st.builds(Record, st.integers(0, 200), st.integers(0, 200))


@pytest.mark.parametrize(
    ("severity", "records", "days", "total"),
    [
        (1, [], 0, 1.0),
        (1, [Record()], 0, 2.0),  # a newcomer: 2 * 2/4
        (5, [Record()], 0.5, 6.5),
        (2, [Record(upheld=6)], 0, 2 + 2 * 8 / 10),
        (2, [Record(dismissed=6)], 0, 2 + 2 * 2 / 10),
        (1, [Record(3, 1), Record(0, 4)], 2, 1 + 2 * 5 / 8 + 2 * 2 / 8 + 2),
        (1, [Record()], 30, 1 + 1 + 3),
        (1, [Record()], -1, 2.0),  # another host's clock
    ],
)
def test_it_is_the_sum_of_its_three_parts(severity, records, days, total):
    assert priority.of(severity, records, timedelta(days=days)).total == pytest.approx(total)


@given(RECORDS)
def test_a_decision_moves_a_record_its_way_and_never_beyond_its_ends(record):
    better, worse = Record(record.upheld + 1, record.dismissed), Record(record.upheld, record.dismissed + 1)
    assert 0 < worse.weight < record.weight < better.weight < 2


@given(st.integers(1, 5), st.lists(RECORDS, max_size=5), RECORDS, st.integers(0, 90))
def test_another_reporter_and_another_day_never_lower_it(severity, records, one_more, days):
    waited = timedelta(days=days)
    now = priority.of(severity, records, waited)
    assert priority.of(severity, [*records, one_more], waited).total > now.total
    assert priority.of(severity, records, waited + timedelta(days=1)).total >= now.total
    assert now.age <= MOST_FOR_AGE
