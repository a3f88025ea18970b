"""How much better: what is stored, and the margins of pairs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.judgements.rankings import BadRanking, dense, pairs
from feedback.judgements.strength import margins, validated


def test_the_margins_are_those_of_llama_2_and_the_largest_step_between_two_ranks():
    ranks = {"11": 1, "12": 2, "13": 2, "14": 3}
    third = 1 / 3
    assert margins(ranks, [1, 3]) == {
        (11, 12): third,
        (11, 13): third,
        (11, 14): 1.0,
        (12, 14): 1.0,
        (13, 14): 1.0,
    }
    assert margins(ranks, [2, 0]) == {(11, 12): 2 / 3, (11, 13): 2 / 3, (11, 14): 2 / 3}
    assert margins(ranks, []) == {}


def test_steps_are_given_by_place_and_stored_by_rank():
    places = {11: 1, 12: 3, 13: 3, 14: 4}
    assert validated({1: "2", 2: "3", 3: "1", 4: "3"}, places) == [2, 1]
    assert validated({1: "0", 3: ""}, places) == []
    assert validated({}, places) == []


@pytest.mark.parametrize("raw", ["4", "-1", "much", "1.5", "9" * 30])
def test_a_step_that_is_none_is_refused(raw):
    with pytest.raises(BadRanking):
        validated({1: raw}, {11: 1, 12: 2})


@given(st.dictionaries(st.integers(1, 99), st.integers(1, 6), min_size=2, max_size=6), st.data())
def test_a_better_reply_is_never_nearer_to_a_worse_one_than_what_stands_between(places, data):
    ranks = dense(places)
    steps = data.draw(st.lists(st.integers(0, 3), min_size=6, max_size=6))
    strength = validated(dict(zip(sorted(set(places.values())), map(str, steps), strict=False)), places)
    found = margins(ranks, strength)
    assert set(found) <= set(pairs(ranks))
    for better, worse in found:
        between = [one for one in ranks if ranks[str(better)] <= ranks[one] <= ranks[str(worse)]]
        inner = [found.get(pair, 0) for pair in pairs({one: ranks[one] for one in between})]
        assert found[better, worse] == max(inner)
