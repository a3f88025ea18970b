"""Which mappings are rankings, and what pairs they stand for."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.judgements.rankings import BadRanking, dense, pairs, validated

IDS = [11, 12, 13, 14]


def test_pairs_of_a_ranking_with_a_tie():
    assert sorted(pairs({"11": 1, "12": 2, "13": 2, "14": 3})) == [(11, 12), (11, 13), (11, 14), (12, 14), (13, 14)]


def test_all_tied_teaches_nothing():
    assert pairs(dict.fromkeys(map(str, IDS), 1)) == []


@given(st.lists(st.integers(1, 6), min_size=2, max_size=6))
def test_every_pair_is_there_once_unless_tied(places):
    ranks = {str(index + 1): place for index, place in enumerate(places)}
    found = pairs(ranks)
    untied = [frozenset(pair) for pair in combinations(ranks, 2) if ranks[pair[0]] != ranks[pair[1]]]
    assert sorted(sorted(pair) for pair in found) == sorted(sorted(int(i) for i in pair) for pair in untied)
    assert all(ranks[str(better)] < ranks[str(worse)] for better, worse in found)
    assert sorted(found) == sorted(pairs(dense({int(pk): place for pk, place in ranks.items()})))


def test_places_become_dense_ranks():
    assert validated([("12", "4"), ("11", "1"), (13, 4), ("14", "2")], IDS) == {"12": 3, "11": 1, "13": 3, "14": 2}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([(11, 1), (12, 2), (13, 3)], "1 of 4 replies are not ranked"),
        ([], "4 of 4 replies are not ranked"),
        ([(11, 1), (12, 2), (13, 3), (14, 4), (14, 4)], "twice"),
        ([(11, 1), (12, 2), (13, 3), (99, 4)], "not part of this task"),
        ([(11, 0), (12, 2), (13, 3), (14, 4)], "from 1 to 4"),
        ([(11, 5), (12, 2), (13, 3), (14, 4)], "from 1 to 4"),
        ([(11, "first"), (12, 2), (13, 3), (14, 4)], "whole numbers"),
        ([(11, "1.5"), (12, 2), (13, 3), (14, 4)], "whole numbers"),
        ([(11, True), (12, 2), (13, 3), (14, 4)], "whole numbers"),
        ([(11, None), (12, 2), (13, 3), (14, 4)], "whole numbers"),
        ([("1" * 400, 1)], "whole numbers"),
        ([("١١", 1)], "whole numbers"),
    ],
)
def test_what_is_no_ranking_is_said_plainly(given, said):
    with pytest.raises(BadRanking, match=said):
        validated(given, IDS)


@given(st.lists(st.tuples(st.one_of(st.integers(), st.text(), st.none()), st.one_of(st.integers(), st.text()))))
def test_whatever_comes_is_a_ranking_or_a_bad_ranking(given):
    try:
        ranks = validated(given, IDS)
    except BadRanking:
        return
    assert set(ranks) == {"11", "12", "13", "14"}
    assert set(ranks.values()) == set(range(1, len(set(ranks.values())) + 1))
