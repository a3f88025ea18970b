"""No script comes out of a model: known attacks, whole and cut off at every character."""

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.markdown import rendering
from chat.markdown.rendering import render
from tests.attacks import ATTACKS

MADE_BY_US = {"a": {"rel", "target"}, "input": {"type"}, "details": {"class"}}
TAGS = {*rendering.TAGS, "details", "summary"}
ALLOWED = {tag: rendering.ATTRIBUTES.get(tag, set()) | MADE_BY_US.get(tag, set()) for tag in TAGS}
CLASS = r"[a-z][a-z0-9]{0,3}|language-[\w+#-]+|align-[a-z]+|formula|rest|(left|right|line-[a-z]+| )+"


class Inspector(HTMLParser):
    """Reads HTML as a browser would and fails on what is not on the list."""

    def handle_starttag(self, tag, attributes):
        assert tag in ALLOWED, tag
        for name, value in attributes:
            assert name in ALLOWED[tag], (tag, name)
            if name == "href":
                assert re.match(r"(https?://|mailto:)", value, re.IGNORECASE), value
            if name == "class":
                assert re.fullmatch(CLASS, value), value
        if tag == "input":
            assert {"type": "checkbox", "disabled": ""}.items() <= dict(attributes).items()
        if tag == "a":
            assert dict(attributes).get("rel") == "nofollow noopener"
            assert dict(attributes).get("target") == "_blank"

    def handle_comment(self, data):
        raise AssertionError("a comment")

    def handle_decl(self, decl):
        raise AssertionError("a declaration")


def inspect(html):
    inspector = Inspector()
    inspector.feed(html)
    inspector.close()
    assert not re.search("[\U000e0000-\U000e007f\u202a-\u202e\u2066-\u2069]", html)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_comes_out_harmless_at_every_length(attack):
    for end in range(len(attack) + 1):
        inspect(render("Before *this*\n\n" + attack[:end]))
        inspect(render(attack[:end] + "\n```py\nx = 1"))


SIGNS = [
    "\n",
    "> ",
    "* ",
    "```",
    "[",
    "](",
    ")",
    "<",
    "|",
    "&",
    '"',
    "x",
    "$",
    "$$",
    "\\(",
    "\\]",
    "{",
    "}",
    "\\text{",
]
SHARDS = [*ATTACKS, *SIGNS]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(SHARDS)).map("".join))
def test_attacks_mixed_come_out_harmless(text):
    inspect(render(text))


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("See https://a.example/b_c?x=1&y=2. And more", ["https://a.example/b_c?x=1&y=2"]),
        ("(https://a.example/Rust_(film)), or not", ["https://a.example/Rust_(film)"]),
        ("**https://a.example**", ["https://a.example"]),
        (
            "주소는 https://a.example/b입니다. 그리고 https://c.example에서",
            ["https://a.example/b", "https://c.example"],
        ),
        ("| at |\n|---|\n| https://a.example |", ["https://a.example"]),
        ("[https://a.example](https://b.example)", ["https://b.example"]),
        ("`https://a.example`\n\n    https://b.example", []),
        ("https:// and javascript:alert(1) and data:text/html,x", []),
        ('https://a.example/"onmouseover="alert(1)', ["https://a.example/"]),
    ],
)
def test_bare_addresses_are_links_to_what_they_show(text, addresses):
    html = render(text)
    inspect(html)
    assert [unescape(found) for found in re.findall(r'href="([^"]*)"', html)] == addresses


def test_what_people_expect_is_there():
    html = render(
        "# Title\n\n1. one\n2. two\n\n| a | b |\n|:-:|---|\n| 1 | 2 |\n\n```python\ndef f(): pass\n```\n\n"
        "[link](https://a.example/) ~~old~~ **bold**\n\n> said"
    )
    for part in (
        "<h1>Title</h1>",
        "<ol>",
        '<th class="align-center">a</th>',
        '<span class="k">def</span>',
        '<code class="language-python">',
        '<a href="https://a.example/" target="_blank" rel="nofollow noopener">link</a>',
        "<s>old</s>",
        "<strong>bold</strong>",
        "<blockquote>",
    ):
        assert part in html


def test_an_image_becomes_its_description():
    assert render("![a *red* cat](http://a.example/x.png)") == "<p>a *red* cat</p>\n"
    assert "a.example" not in render("![cat](http://a.example/x.png)")


def test_lines_break_where_they_were_broken():
    assert render("one\ntwo") == "<p>one<br>\ntwo</p>\n"


def test_tasks_become_boxes_that_nobody_can_change():
    html = render("- [ ] buy milk\n- [x] **feed** the bird\n  1. [X] nested\n- [y] neither\n- [x]nor")
    inspect(html)
    assert re.findall(r"<li>\s*(<input[^>]*>)? ?(\S+)", html) == [
        ('<input disabled="" aria-label="Task not done" type="checkbox">', "buy"),
        ('<input disabled="" aria-label="Task done" checked="" type="checkbox">', "<strong>feed</strong>"),
        ('<input disabled="" aria-label="Task done" checked="" type="checkbox">', "nested</li>"),
        ("", "[y]"),
        ("", "[x]nor</li>"),
    ]


def test_columns_are_aligned_by_class():
    html = render("| a | b |\n|:-:|--:|\n| 1 | 2 |")
    assert '<td class="align-center">1</td>' in html
    assert '<td class="align-right">2</td>' in html


def test_deep_nesting_ends():
    for text in ("> " * 5000, "* " * 5000, "[" * 20_000, "**" * 20_000, "|" * 20_000, "`" * 20_001):
        inspect(render(text))
