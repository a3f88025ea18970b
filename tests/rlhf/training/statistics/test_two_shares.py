"""The difference of two shares against figures that Newcombe printed, and against sums by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf.training.statistics import rise, wilson

# Newcombe (1998), table II, method 10: (a, m, b, n, low, high).
PRINTED = [
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (0, 10, 0, 10, -0.2775, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0000),
    (10, 10, 0, 10, 0.6075, 1.0000),
]


@pytest.mark.parametrize(("a", "m", "b", "n", "low", "high"), PRINTED)
def test_one_stratum_gives_what_newcombe_printed(a, m, b, n, low, high):
    found = rise({"": (a, m)}, {"": (b, n)})
    assert found.value == pytest.approx(a / m - b / n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_strata_weigh_as_mantel_and_haenszel_s():
    """By hand: weights 10*10/20 = 5 and 30*10/40 = 7.5, so 0.4 and 0.6."""
    found = rise({"a": (5, 10), "b": (3, 30)}, {"a": (1, 10), "b": (1, 10)})
    assert found.value == pytest.approx(0.4 * (0.5 - 0.1) + 0.6 * (0.1 - 0.1))
    ours = 1 / (0.4**2 / 10 + 0.6**2 / 30)
    theirs = 1 / (0.4**2 / 10 + 0.6**2 / 10)
    mine, other = wilson(0.26 * ours, ours), wilson(0.1 * theirs, theirs)
    assert found.high == pytest.approx(0.16 + math.sqrt((mine.high - 0.26) ** 2 + (0.1 - other.low) ** 2))


def test_only_what_both_were_asked_counts():
    """A candidate that was asked easy things alone would look better."""
    easy = {"easy": (0, 50), "hard": (5, 10)}
    found = rise(easy, {"hard": (5, 10)})
    assert found == rise({"hard": (5, 10)}, {"hard": (5, 10)})
    assert found.value == 0.0
    nothing = rise({"easy": (0, 50)}, {"hard": (5, 10), "easy": (0, 0)})
    assert math.isnan(nothing.value)
    assert (nothing.low, nothing.high) == (-1.0, 1.0)


counted = st.tuples(st.integers(0, 20), st.integers(1, 20)).map(lambda pair: (min(pair), pair[1]))


@given(
    st.dictionaries(st.sampled_from("abc"), counted, min_size=1),
    st.dictionaries(st.sampled_from("abc"), counted, min_size=1),
)
def test_the_interval_holds_the_rise_and_turns_with_the_sides(of, over):
    there, back = rise(of, over), rise(over, of)
    if math.isnan(there.value):
        return
    assert -1 <= there.low <= there.value + 1e-12
    assert there.value - 1e-12 <= there.high <= 1
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_the_upper_bound_holds_in_nineteen_of_twenty_draws():
    """40 probes over four rules of unlike difficulty, a true rise of 5 points."""
    random = np.random.default_rng(5)
    rates = {"a": 0.05, "b": 0.1, "c": 0.3, "d": 0.6}
    held = 0
    for _ in range(1000):
        theirs = {key: (int(random.binomial(10, rate)), 10) for key, rate in rates.items()}
        ours = {key: (int(random.binomial(10, rate + 0.05)), 10) for key, rate in rates.items()}
        held += rise(ours, theirs, 1.6448536269514722).high >= 0.05
    assert held / 1000 >= 0.94
