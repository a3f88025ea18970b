"""Figures of a reply's text, by hand."""

import pytest

from rlhf.training import texts


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("A star is hot. It shines.", "A star is hot."),
        ('He said "no!" Then left.', 'He said "no!"'),
        ("Pi is 3.14 or so. Yes", "Pi is 3.14 or so."),
        ("no end", "no end"),
        ("", ""),
        ("  What?\nWell.", "  What?"),
        ("Wait... what?", "Wait..."),
    ],
)
def test_the_first_sentence(text: str, first: str) -> None:
    assert texts.first_sentence(text) == first


def test_repetition_is_the_share_of_triples_seen_before() -> None:
    assert texts.repetition("a b c a b c") == pytest.approx(1 / 4)  # abc bca cab abc
    assert texts.repetition("a b") == 0.0


def test_distinct_2_counts_over_all_replies() -> None:
    assert texts.distinct_2(["a b c", "a b"]) == pytest.approx(2 / 3)
    assert texts.distinct_2([]) == 0.0


def test_a_reply_of_marks_alone_is_empty() -> None:
    assert texts.is_empty(" ... !")
    assert not texts.is_empty("참새")
