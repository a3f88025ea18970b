"""Tokens beside the text of a completion, as engines tell them: late, early, cut by a stop string, or not at all."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.completions.token_texts import TokenAligner
from chat.engines.engine import Piece, Token
from chat.prompts.rendering import Renderer

TEXT = "One old bird 참새🙂 sings and sings."


def read(spelling, pieces):
    """[(text, texts of the tokens)] as a reader gets them."""
    return [(piece.text, [token.text for token in piece.tokens]) for piece in map(spelling.take, pieces)]


def told(pairs):
    return [text for _, texts in pairs for text in texts]


@pytest.fixture(scope="module")
def renderer(tiny_policy):
    return Renderer(tiny_policy)


def test_tokens_of_text_that_is_held_back_wait_for_it_and_what_a_stop_string_cut_off_has_none():
    pieces = [
        Piece("The", tokens=(Token("The", -1),)),
        Piece("", tokens=(Token(" city", -2),)),
        Piece("", tokens=(Token(" of", -3),)),
        Piece(" ci", "stop", tokens=(Token(" Nova", -4),)),
    ]
    assert read(TokenAligner(None, []), pieces) == [("The", ["The"]), ("", []), ("", []), (" ci", [" ci"])]


def test_a_server_that_tells_tokens_without_text_and_then_all_of_it_in_one_is_put_right_by_the_ids(renderer):
    ids = renderer.continuation(" family of birds")
    spelled = [renderer.added_by(number, ids[:place]) for place, number in enumerate(ids)]
    cut = " family of bi"
    pieces = [Piece("", tokens=(Token("", -1, number),)) for number in ids[:-1]]
    pieces += [Piece(cut, tokens=(Token(cut, -1, ids[-1]),)), Piece("", "stop")]
    found = told(read(TokenAligner(renderer, []), pieces))
    assert "".join(found) == cut
    assert found[:-1] == spelled[: len(found) - 1]
    assert spelled[len(found) - 1].startswith(found[-1])


def test_the_token_that_ends_a_completion_is_not_told(renderer):
    end = renderer.added_tokens["<|im_end|>"]
    pieces = [Piece("Yes", tokens=(Token("Yes", -1),)), Piece("", tokens=(Token("", -1, end),)), Piece("", "stop")]
    assert told(read(TokenAligner(renderer, []), pieces)) == ["Yes"]


def test_a_completion_cut_for_its_length_tells_all_of_its_tokens():
    pieces = [Piece("a", tokens=(Token("a", -1),)), Piece("", tokens=(Token("", -2),)), Piece("", "length")]
    assert told(read(TokenAligner(None, []), pieces)) == ["a", ""]


def test_what_can_not_be_brought_together_with_the_text_is_told_as_it_came():
    pieces = [Piece("a🙂b", tokens=(Token("a", -1), Token("\ufffd", -2), Token("\ufffd", -3))), Piece("", "stop")]
    assert told(read(TokenAligner(None, []), pieces)) == ["a", "\ufffd", "\ufffd"]


@given(st.data())
def test_tokens_spell_the_text_wherever_it_is_held_back_and_cut(renderer, data):
    """An engine that tells each token as it comes, and its text whenever it likes."""
    ids = renderer.continuation(TEXT)
    end = data.draw(st.integers(0, len(TEXT)))
    places = sorted(data.draw(st.lists(st.integers(0, end), max_size=6)))
    texts = [TEXT[start:stop] for start, stop in itertools.pairwise([0, *places, end])]
    moments = sorted(data.draw(st.lists(st.integers(0, len(ids)), min_size=len(texts), max_size=len(texts))))
    pieces, told_ids = [], 0
    for text, moment in zip(texts, moments, strict=True):
        pieces += [Piece("", tokens=(Token("?", -1, number),)) for number in ids[told_ids:moment]]
        pieces.append(Piece(text))
        told_ids = max(told_ids, moment)
    pieces += [Piece("", tokens=(Token("?", -1, number),)) for number in ids[told_ids:]] + [Piece("", "stop")]
    found = read(TokenAligner(renderer, []), pieces)
    assert "".join(told(found)) == TEXT[:end]
    shown, spoken = "", ""
    for text, tokens in found:
        shown, spoken = shown + text, spoken + "".join(tokens)
        assert shown.startswith(spoken)
