"""Nothing that somebody wrote is missing from what a judge of the text sees, and a long text takes no long time."""

import re
import time
from collections import Counter
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.markdown.rendering import LONGEST, render, render_for_judging
from tests.attacks import ATTACKS

TIMES = 2.6
"""How much longer twice the text may take: twice, and what a busy machine adds."""


def seen(text):
    """What a reader sees, with the languages of code, which the page shows as labels."""
    html = render_for_judging(text)
    labels = " ".join(re.findall(r'class="language-([^"]*)"', html))
    return unescape(re.sub(r"<[^>]*>", " ", html)) + labels


@pytest.mark.parametrize(
    "text",
    [
        "[nothing]: https://a.example/hidden 'secret'",
        "Text.\n\n[a]: /hidden\n\n[b]: <hidden too> (secret)",
        "[](https://a.example/hidden)",
        "[harmless](https://a.example/hidden 'secret')",
        "![harmless](https://a.example/hidden 'secret')",
        "![](https://a.example/hidden)",
        "[x](ftp://a.example/hidden) [y](/hidden 'secret')",
        "<!-- hidden -->",
        "<span hidden>secret</span>",
        "| a |\n|---|\n| b | hidden | secret |",
        "| a | b |\n|---|---|\n" + "| c | d |\n" * 3_000 + "| hidden | secret |",
        "> " * 30 + "hidden",
        "* " * 30 + "hidden",
        "> " * 30 + "hidden\n\nsecret",
        "```python hidden=secret\nx\n```",
        "```숨김\nx\n```",
        "$x % hidden$ and $\\phantom{secret}$",
        "&lt;hidden&gt;",
        "#",
        "-",
    ],
)
def test_nothing_is_left_out(text):
    words = seen(text)
    for word in ("hidden", "secret", "숨김"):
        assert words.count(word) >= min(1, text.count(word)), words
    assert words.strip()


SHARDS = [
    *ATTACKS,
    "\n",
    "\n\n",
    "> ",
    "* ",
    "1. ",
    "```",
    "[",
    "](",
    ")",
    "|",
    "|-|\n",
    "$",
    "\\(",
    "\\)",
    "~~",
    "**",
]
LETTER = re.compile(r"[A-Za-z가-힣]")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(st.sampled_from(SHARDS), st.text("ab 한|`*_[]()<>&$\\\n", max_size=8)), max_size=8).map(
        "".join
    )
)
def test_every_letter_is_seen(text):
    """But for names of characters (`&amp;`) and the scheme of an address, which a link may spell in its own way."""
    written = Counter(LETTER.findall(unescape(text)))
    assert not written - Counter(LETTER.findall(unescape(seen(text)).replace("%5C", "")))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a[U+202E]b"),
        ("a\u200bb\u00adc", "a[U+200B]b[U+00AD]c"),
        ("a&#x202e;b&zwnj;c&shy;", "a[U+202E]b[U+200C]c[U+00AD]"),
        ("`a\u2066b`", "a[U+2066]b"),
        ("```\na\u2066b\n```", "a[U+2066]b"),
        ("\U000e0041x", "[U+E0041]x"),
        ("a\x07b", "a[U+0007]b"),
        ("\u3164", "[U+3164]"),
        ("$a\u202e$", "[U+202E]"),
        ("[a\u202eb](https://a.example/)", "a[U+202E]b"),
    ],
)
def test_invisible_characters_are_marked_for_judges(text, shown):
    assert shown in re.sub(r"<[^>]*>", "", render_for_judging(text))
    assert not re.search("[\u00ad\u200b-\u200f\u202a-\u202e\u2066-\u2069\u3164\U000e0000-\U000e007f]", seen(text))


@pytest.mark.parametrize("text", ["a\u202eb\u2066c", "a&#x202e;b&#x2066;c", "`a\u202eb` $c\u202e$", "&#xE0041;abc"])
def test_nothing_turns_the_text_of_a_chat_around(text):
    html = render(text)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]", html)
    assert "c" in html


def test_what_follows_the_longest_text_is_shown_as_it_was_written():
    text = "a line\n" * (LONGEST // 7) + "**the** <rest>\n" * 500
    html = render(text)
    head, rest = html.split('<details class="rest">')
    assert head.count("a line") == LONGEST // 7
    assert rest.count("**the** &lt;rest&gt;") == 500
    assert "More: 7,500 characters, as plain text" in rest


REPEATED = [
    *(
        "a b c\n",
        "- [ ] a\n",
        "1. a\n",
        "> ",
        "* ",
        "|",
        "[",
        "![",
        "[a](",
        "*a ",
        "**a_ ",
        "`a``b",
        "<a ",
        "&a",
        "~~a ",
    ),
    *(
        "\\(",
        "\\[\n",
        "$a ",
        "$$a ",
        "$$\nx\n$$\n",
        "$x$ ",
        "\\begin{align}\n",
        "$\\frac{",
        "|a|b|\n|-|-|\n",
        "https://a.b).. ",
    ),
    *("[](http://a 'b') ", "```py\nx = 1\n```\n", "\u202e", "&#8203;", "[a]: b\n", "{", "_"),
]


def seconds(text):
    began = time.thread_time()
    render_for_judging(text)
    return time.thread_time() - began


@pytest.mark.parametrize("piece", REPEATED)
def test_twice_the_text_takes_twice_the_time(piece):
    once, twice = (piece * (size // len(piece)) for size in (6_000, 12_000))
    for _busy in range(5):
        if min(seconds(twice) for _ in range(2)) <= TIMES * max(seconds(once), 0.004):
            return
    pytest.fail(f"{seconds(once):.3f} s, then {seconds(twice):.3f} s")


@pytest.mark.parametrize("columns", [5, 60])
def test_a_short_text_does_not_become_a_huge_table(columns):
    table = "|a" * columns + "|\n" + "|-" * columns + "|\n" + "a|\n" * columns + "\n"
    html = render(table * (LONGEST // len(table)))
    assert html.count("<td") + html.count("<th") <= 5_200
