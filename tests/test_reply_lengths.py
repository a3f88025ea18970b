"""The summary that `make bench ARGS="lengths"` prints, by hand."""

from tests.bench.lengths import summary


def test_shares_and_the_length_of_nine_in_ten():
    ended = [*[10] * 4, *[40] * 4, 90, None]
    found = summary("Be brief.", ended, ["word"] * 9 + [" "], limit=128)
    assert found.within == {32: 0.4, 48: 0.8, 64: 0.8, 96: 0.9, 128: 0.9}
    assert found.nine_in_ten == 90
    assert found.mean_tokens == (40 + 160 + 90 + 128) / 10
    assert found.empty == 1


def test_a_cut_reply_never_counts_as_ended():
    assert summary("", [30, 30, None], ["a", "b", "c"], limit=32).nine_in_ten is None
