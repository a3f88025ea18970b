"""Pictures of intervals: values stand at their distance from zero, the allowed side is that of the sign."""

import pytest

from rlhf.charts.interval_pictures import WIDTH, picture


@pytest.mark.parametrize("sign", [">", "≥", "≤"])
def test_values_stand_where_they_belong(sign):
    drawn = picture(0.6, 0.5, sign, 0.4, 0.8)
    # 0 .. 0.92 on 6 .. 114
    places = [round(6 + 108 * value / 0.92, 1) for value in (0.4, 0.5, 0.6, 0.8)]
    assert [drawn.low, drawn.limit, drawn.dot, drawn.high] == places
    allowed = (places[1], WIDTH - places[1]) if sign != "≤" else (0.0, places[1])
    assert (drawn.allowed_from, drawn.allowed_width) == pytest.approx(allowed)


def test_an_interval_with_one_end_is_none():
    drawn = picture(2.0, 2.0, "≤", None, 3.0)
    assert (drawn.low, drawn.high) == (None, None)
    assert drawn.dot == drawn.limit


@pytest.mark.parametrize(("estimate", "limit"), [(0.0, 0.0), (-1.0, -2.0), (-1.0, 1.0), (0.0, 0.02)])
def test_zero_and_what_is_below_it_stay_in_the_picture(estimate, limit):
    drawn = picture(estimate, limit, "≤")
    assert (drawn.dot < drawn.limit) == (estimate < limit)
    assert all(0 < x < WIDTH for x in (drawn.dot, drawn.limit))
