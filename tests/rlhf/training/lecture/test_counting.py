"""Counts and Kneser-Ney against a text of ten words by hand, and against plain dictionaries on any text."""

from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.training.lecture import arrays, counting
from rlhf.training.lecture.counting import CountTable

TEN = np.asarray([0, 1, 0, 1, 0, 2, 0, 1, 2, 1])  # a b a b a c a b c b
START = np.zeros(1, dtype=np.int64)


def table_of(tokens, size, order, starts=START):
    return counting.count(np.asarray(tokens), np.asarray(starts), size, order)


def test_ten_words_by_hand():
    """Pairs: ab 3, ba 2, ac ca bc cb 1 each. Four occur once and one twice, none four times: one discount, 4 / 6.
    After a: 3 + 1 = 4 words, of which 2 different ones. Each word comes after two others, so the shortest context
    tells nothing: a third for each."""
    table, third = table_of(TEN, 3, 2), Fraction(1, 3)
    after_a = table.smoothed([0], 2)
    left = Fraction(2, 3) * 2 / 4
    expected = [left * third, (3 - Fraction(2, 3)) / 4 + left * third, (1 - Fraction(2, 3)) / 4 + left * third]
    assert after_a == pytest.approx([float(part) for part in expected])
    assert expected == [Fraction(1, 9), Fraction(25, 36), Fraction(7, 36)]
    assert table.smoothed([], 1) == pytest.approx(table.frequencies([]), abs=0.05)


def test_plain_frequencies_by_hand():
    table = table_of(TEN, 3, 3)
    assert table.frequencies([]) == pytest.approx([0.4, 0.4, 0.2])
    assert table.frequencies([0]) == pytest.approx([0, 0.75, 0.25])
    assert table.frequencies([0, 1]) == pytest.approx([2 / 3, 0, 1 / 3])
    assert table.frequencies([2, 2]).sum() == 0  # never seen: counting can't say


def test_the_chain_adds_up_to_the_probability():
    table = table_of(TEN, 3, 3)
    weight, probability = 1.0, 0.0
    steps = table.chain([1, 0], 1, 3)
    assert [step.context for step in steps] == [(1, 0), (0,), ()]
    for step in steps:
        probability += weight * step.own
        weight *= step.left
    assert probability + weight / 3 == pytest.approx(table.smoothed([1, 0], 3)[1])
    assert (steps[0].count, steps[0].total) == (1, 2)
    assert (steps[1].count, steps[1].total) == (2, 3)  # b came after ba and ca; c after ba alone


def test_the_three_discounts_by_hand():
    """Ten n-grams occur once, four twice, two three times, one four times: Y = 10 / 18."""
    counts = np.asarray([1] * 10 + [2] * 4 + [3] * 2 + [4])
    share = 10 / 18
    assert counting.discounts_of(counts) == pytest.approx((1 - 0.8 * share, 2 - 1.5 * share, 3 - 2 * share))


def plain_kneser_ney(tokens, blocks, size, order, context, word):
    """By dictionaries and without a line of the code above but its discounts."""
    highest, lower = Counter(), defaultdict(Counter)
    for block in blocks:
        for place in range(len(block) - order + 1):
            highest[tuple(block[place : place + order])] += 1
    for length in range(1, order):
        longer = {tuple(b[i : i + length + 1]) for b in blocks for i in range(len(b) - length)}
        for gram in longer:
            lower[length][gram[1:]] += 1
    probability = Fraction(1, size)
    for length in range(1, min(order, len(context) + 1) + 1):
        counts = highest if length == order else lower[length]
        # An n-gram that only begins blocks has no other before it: its count is 0, but it is an entry.
        discounts = counting.discounts_of(np.asarray([*counts.values()] or [0]))
        before = tuple(context[len(context) - length + 1 :])
        after = {gram[-1]: n for gram, n in counts.items() if gram[:-1] == before}
        total = sum(after.values())
        if not total:
            break
        cut = [Fraction(0), *map(Fraction, discounts)]
        left = sum(cut[min(n, 3)] for n in after.values()) / total
        own = after.get(word, 0) - cut[min(after.get(word, 0), 3)]
        probability = own / total + left * probability
    return float(probability)


BLOCKS = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=30), min_size=1, max_size=4)


def joined(blocks):
    return np.asarray([t for block in blocks for t in block]), np.cumsum([0, *map(len, blocks[:-1])])


@settings(max_examples=60, deadline=None)
@given(BLOCKS, st.lists(st.integers(0, 4), max_size=3), st.integers(1, 4))
def test_any_text_against_dictionaries(blocks, context, order):
    tokens, starts = joined(blocks)
    table = table_of(tokens, 5, order, starts)
    smoothed = table.smoothed(context, order)
    used = context[max(0, len(context) - order + 1) :] if order > 1 else []
    expected = [plain_kneser_ney(tokens, blocks, 5, order, used, word) for word in range(5)]
    assert smoothed == pytest.approx(expected, abs=1e-12)
    assert smoothed.sum() == pytest.approx(1, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(BLOCKS, BLOCKS, st.integers(1, 4))
def test_a_text_is_scored_at_once_as_word_by_word(blocks, others, order):
    table = table_of(*_with(blocks, order))
    tokens, starts = joined(others)
    smoothed = table.score(tokens, starts, order)
    plain = table.score_frequencies(tokens, starts, order)
    place = 0
    for block in others:
        for i, token in enumerate(block):
            context = block[max(0, i - order + 1) : i]
            assert smoothed[place] == pytest.approx(table.smoothed(context, order)[token])
            assert plain[place] == pytest.approx(table.frequencies(context)[token])
            place += 1


def _with(blocks, order):
    tokens, starts = joined(blocks)
    return tokens, 5, order, starts


def test_a_thousand_contexts_sum_to_one():
    random = np.random.default_rng(0)
    tokens = np.minimum(random.geometric(0.02, 20_000), 300) - 1
    table = table_of(tokens, 300, 5)
    contexts = [tokens[place : place + 4].tolist() for place in random.integers(0, 19_990, 900)]
    contexts += random.integers(0, 300, (100, 4)).tolist()  # most of them never seen
    assert max(abs(table.smoothed(context, 5).sum() - 1) for context in contexts) < 1e-9


def test_a_table_comes_back_from_its_file(tmp_path):
    table = table_of(TEN, 3, 3)
    arrays.write(tmp_path / "counts.safetensors", table.arrays())
    again = CountTable.from_arrays(arrays.read(tmp_path / "counts.safetensors"))
    assert again.smoothed([0, 1], 3) == pytest.approx(table.smoothed([0, 1], 3))
    assert again.entries(2) == 3 + 6


@pytest.mark.parametrize("order", [0, 4])
def test_an_order_that_was_not_counted_is_refused(order):
    with pytest.raises(counting.NoSuchLength):
        table_of(TEN, 3, 3).smoothed([0], order)
