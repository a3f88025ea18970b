"""Where the points of a judge's reliability stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from rlhf.charts.reliability_pictures import reliability_picture


def drawn(*bins):
    named = {
        str(number): dict(zip(("n", "predicted", "right"), one, strict=True)) for number, one in enumerate(bins, 1)
    }
    return reliability_picture({"judge_reliability": named})


def test_a_trustworthy_bin_stands_on_the_line():
    picture = drawn((40, 0.6, 0.6), (40, 0.9, 0.9))
    for one in picture.bins:
        assert one.x - picture.left == pytest.approx(picture.bottom - one.y, abs=0.15)
    assert picture.bins[0].x < picture.bins[1].x
    expected = binomtest(24, 40).proportion_ci(method="wilson")
    assert (picture.bins[0].low, picture.bins[0].high) == pytest.approx((expected.low, expected.high))


def test_one_that_is_too_sure_stands_below():
    (one,) = drawn((30, 0.9, 0.6)).bins
    assert one.y > drawn((30, 0.9, 0.9)).bins[0].y
    assert one.y_high < one.y < one.y_low


@pytest.mark.parametrize("report", [{}, {"judge_reliability": None}, {"judge_reliability": {"1": {"n": 0}}}])
def test_of_nothing_there_is_no_picture(report):
    assert reliability_picture(report) is None


share = st.floats(0, 1)


@given(st.lists(st.tuples(st.integers(1, 500), share, share), min_size=1, max_size=12))
def test_everything_stands_in_the_picture_and_bins_keep_their_order(bins):
    picture = drawn(*bins)
    assert [one.n for one in picture.bins] == [n for n, _, _ in bins]
    for one in picture.bins:
        assert picture.left - 0.1 <= one.x <= picture.right + 0.1
        assert picture.top - 0.1 <= one.y_high <= one.y <= one.y_low <= picture.bottom + 0.1
