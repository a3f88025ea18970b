"""How far answers lie apart, against figures worked out by hand and against what must hold of any answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.questions import spread


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ([{"1": 1, "2": 2}, {"1": 1, "2": 2}], 0),
        ([{"1": 1, "2": 2}, {"1": 2, "2": 1}], 1),
        ([{"1": 1, "2": 1}, {"1": 1, "2": 1}], 0),  # all say that neither is better
        ([{"1": 1, "2": 2}, {"1": 1, "2": 1}], 1 / 2),
        ([{"1": 1, "2": 2}, {"1": 1, "2": 2}, {"1": 2, "2": 1}], 2 / 3),
        # Of the pairs 12, 13, 23: same, opposite, opposite.
        ([{"1": 1, "2": 2, "3": 3}, {"1": 2, "2": 3, "3": 1}], 2 / 3),
    ],
)
def test_of_orders_by_hand(ranks, expected):
    assert spread.of_orders(ranks) == pytest.approx(expected)


orders = st.lists(st.fixed_dictionaries({str(item): st.integers(1, 4) for item in range(4)}), min_size=2, max_size=6)


@given(orders)
def test_of_orders_is_a_share_that_does_not_depend_on_who_came_first(ranks):
    found = spread.of_orders(ranks)
    assert 0 <= found <= 1
    assert spread.of_orders(ranks[::-1]) == pytest.approx(found)
    reverse = [{item: 5 - rank for item, rank in one.items()} for one in ranks]
    assert spread.of_orders(reverse) == pytest.approx(found)


@given(orders)
def test_more_of_the_same_never_widens(ranks):
    majority = [ranks[0]] * (3 * len(ranks))
    assert spread.of_orders([*ranks, *majority]) <= spread.of_orders(ranks) + 1e-9 or spread.of_orders(majority) == 0


def test_of_numbers_is_the_share_of_the_scale():
    assert spread.of_numbers([1, 7, 4], 6) == 1
    assert spread.of_numbers([3, 5], 6) == pytest.approx(1 / 3)
    assert spread.of_numbers([3], 6) == spread.of_numbers([], 6) == 0


def test_of_texts():
    assert spread.of_texts(["The sea is salty.", "The sea is salty."]) == 0
    assert spread.of_texts(["abcd", "wxyz"]) == 1
    assert spread.of_texts(["abcd", "abxy"]) == pytest.approx(1 / 2)
    assert spread.of_texts(["alone"]) == 0
