"""Round numbers along an axis."""

import pytest

from base import axis


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0, 10.0, ["0", "5", "10"]),
        (0.0015, 3.6, ["0", "1", "2", "3", "4"]),
        (-0.64, 2.5, ["−1", "0", "1", "2", "3"]),
        (-0.03, 0.03, ["−0.04", "−0.02", "0.00", "0.02", "0.04"]),
        (1.8, 2.2, ["1.8", "1.9", "2.0", "2.1", "2.2"]),
        (0, 24_362, ["0", "10,000", "20,000", "30,000"]),
    ],
)
def test_ticks_are_round_and_hold_what_is_drawn(low, high, labels):
    ticks = axis.ticks(low, high)
    assert ticks[0] <= low <= high <= ticks[-1]
    assert [axis.label(tick, ticks) for tick in ticks] == [word.replace("0.00", "0") for word in labels]


def test_counts_have_whole_ticks():
    assert axis.ticks(0, 1, least=1) == [0.0, 1.0]
    assert axis.ticks(0, 3, least=1) == [0.0, 1.0, 2.0, 3.0]
