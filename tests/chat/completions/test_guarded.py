"""What a program is given of a completion: all of it where the guards let it pass, and never a word more."""

import asyncio

from hypothesis import example, given
from hypothesis import strategies as st

from chat.completions import guarded
from chat.completions.guarded import GuardedCompletion
from chat.engines.engine import Piece, Token
from chat.errors import Blocked

WORDS = st.lists(st.sampled_from(["a", " dog", " runs.", " cat", "\n", "! ", " 새", "", " ", "cat"]), max_size=30)


async def checked(text):
    if "cat" in text:
        raise Blocked("no-cats")


async def given_of(texts, buffered_s, asked=None):
    """Every piece that is handed out, one list for each that came in."""

    async def check(text):
        if asked is not None:
            asked.append(text)
        await checked(text)

    guarded.MAX_BUFFERED_S, before = buffered_s, guarded.MAX_BUFFERED_S
    try:
        one, out = GuardedCompletion(check), []
        for text in texts:
            out.append([one.give(piece) for piece in await one.take(Piece(text, tokens=(Token(text, -1.0),)))])
        out.append([one.give(piece) for piece in await one.take(Piece("", "stop", 3, len(texts)))])
        return one, out
    finally:
        guarded.MAX_BUFFERED_S = before


@given(WORDS, st.sampled_from([0.0, 1e12]))
@example(["c", "at"], 0.0)
def test_the_reader_gets_what_passed_and_no_more(texts, buffered_s):
    one, out = asyncio.run(given_of(texts, buffered_s))
    pieces, whole = [piece for some in out for piece in some], "".join(texts)
    text = "".join(piece.text for piece in pieces)
    assert text == one.text
    assert "cat" not in text
    assert whole.startswith(text)
    assert [piece.finish_reason for piece in pieces if piece.finish_reason] == [
        "content_filter" if "cat" in whole else "stop"
    ]
    assert pieces[-1].finish_reason == one.finish_reason
    if "cat" not in whole:
        assert text == whole
        assert [piece.tokens for piece in pieces[:-1]] == [(Token(word, -1.0),) for word in texts]


def test_at_the_end_of_a_sentence_all_of_it_comes_at_once_and_words_come_meanwhile():
    _, slow = asyncio.run(given_of(["A", " dog", " runs.", " It"], 1e12))
    assert [["".join(piece.text for piece in some)] for some in slow] == [[""], [""], [""], ["A dog runs."], [" It"]]
    asked = []
    _, quick = asyncio.run(given_of(["A", " dog", " runs", " far"], 0.0, asked))
    assert ["".join(piece.text for piece in some) for some in quick] == ["", "A", " dog", " runs", " far"]
    assert all(text.endswith(" ") or text == "A dog runs far" for text in asked), "no word is judged by its half"
