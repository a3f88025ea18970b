"""Masking of a conversation: one mask a value, the same again on what is masked, and how much work that is."""

import re
import sys
from re import _parser as parser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.masking import addresses, masker, names, numbers
from feedback.masking.masker import Masker, counted, masked_turns
from tests.attacks import ATTACKS

WIDEST = 450
TIMES = 2.6
"""How much more work twice the text may be."""
HOSTILE = [
    *("a@", "1 ", "1-", "(1) ", "+1 ", "1.1.1.1.", "::1:", "A1 1AA ", "12 A A A ", "\n", "010-1234-5678 "),
    *("John ", "my name is ", "Dear John,\n", "김민수 ", "강남구 ", "서울 강남구 ", "101동 ", "<NAME_1>", "900101-"),
]


def test_the_same_value_has_one_mask_in_a_conversation():
    texts = ["I am Sarah Johnson, +82 10-1234-5678.", "Sarah can be reached at 010 1234 5678, sarah's brother not."]
    made = Masker(texts)
    first, second = (made.masked(text) for text in texts)
    assert first == "I am <NAME_1>, <PHONE_1>."
    assert second.startswith("<NAME_1> can be reached at <PHONE_2>")
    assert made.masked(texts[1]) == second


def test_a_korean_name_is_known_again_by_its_given_name():
    made = Masker()
    assert made.masked("저는 김민수입니다. 김민수가 왔고 민수 씨는 갔어요.") == (
        "저는 <NAME_1>입니다. <NAME_1>가 왔고 <NAME_1> 씨는 갔어요."
    )


def test_a_name_told_later_is_masked_earlier():
    texts = ["Zorblax is hungry.", "my name is Zorblax"]
    assert Masker(texts).masked(texts[0]) == "<NAME_1> is hungry."


def test_a_word_that_a_name_is_made_of_is_not_masked_everywhere():
    made = Masker(["My name is Mary Will."])
    assert made.masked("Will it rain?") == "Will it rain?"


def test_instructions_of_the_site_stay_as_they_are():
    turns = [{"role": "system", "content": "Ask a@b.org."}, {"role": "user", "content": "Ask a@b.org."}]
    assert [turn["content"] for turn in masked_turns(turns, Masker())] == ["Ask a@b.org.", "Ask <EMAIL_1>."]


def test_values_are_counted_once():
    assert counted(["<NAME_1> and <NAME_2>", "<NAME_1>, <IP_1>", "<NAME_x>"]) == {"IP": 1, "NAME": 2}


words = st.sampled_from([*HOSTILE, *ATTACKS, "Sarah ", "a@b.org ", "4111 1111 1111 1111 ", "203.0.113.7 "])


@settings(max_examples=40)
@given(st.lists(st.one_of(words, st.text(max_size=8)), max_size=25).map("".join))
def test_masked_again_nothing_changes(text):
    once = Masker([text]).masked(text)
    assert Masker([once]).masked(once) == once


def patterns():
    for module in (addresses, names, numbers, masker):
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield pytest.param(value, id=f"{module.__name__.rpartition('.')[2]}.{name}")


@pytest.mark.parametrize("pattern", list(patterns()))
def test_no_pattern_reads_on_without_end(pattern):
    """One of a greatest width does a bounded number of steps at each place of a text."""
    assert parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE).getwidth()[1] <= WIDEST


def steps(text):
    """Lines of Python that masking runs."""
    count = 0

    def trace(frame, event, _argument):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        Masker([text]).masked(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("part", HOSTILE)
def test_twice_the_text_is_twice_the_work(part):
    text = part * (400 // len(part) + 1)
    steps(text)  # what is read once, as the lists of words
    assert steps(text * 2) <= TIMES * steps(text) + 200


@settings(max_examples=10)
@given(st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=4).map("".join))
def test_twice_any_mixture_is_twice_the_work(part):
    text = part * (300 // len(part) + 1)
    assert steps(text * 2) <= TIMES * steps(text) + 200
