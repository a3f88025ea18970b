"""Formulas are found in every spelling that models use, and prices, code and shells are left alone."""

import re

import pytest

from chat.markdown.rendering import render

MATHS = re.compile(r"<math(?: display=\"(block)\")?>(.*?)</math>", re.DOTALL)


def found(text):
    """[(whether it stands by itself, its signs)] of each formula."""
    return [(display == "block", re.sub(r"<[^>]*>", "", inner)) for display, inner in MATHS.findall(render(text))]


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        (r"So \(x^2\) it is", [(False, "x2")]),
        ("So $x^2$, and $y$: $z$.", [(False, "x2"), (False, "y"), (False, "z")]),
        ("$x$는 값이고 $y$입니다", [(False, "x"), (False, "y")]),
        (r"So \[x^2\] it is", [(True, "x2")]),
        ("So $$x^2$$ it is", [(True, "x2")]),
        ("Then\n\\[\nx = a\n- b\n\\]\nholds", [(True, "x=a−b")]),
        ("Then\n$$\nx = a\n- b\n\n+ c\n$$", [(True, "x=a−b+c")]),
        ("1. One:\n   \\[\n   x\n   \\]\n2. Two", [(True, "x")]),
        ("> $$\n> x\n> - y\n> $$", [(True, "x−y")]),
        ("| a |\n|---|\n| $x_1$ |", [(False, "x1")]),
        ("\\begin{align*}\na &= b \\\\\nc &= d\n\\end{align*}", [(True, "a=bc=d")]),
        ("So\n\\begin{aligned}\na &= b\n\\end{aligned}", [(True, "a=b")]),
        ("# About $x$", [(False, "x")]),
        ("\\[x\\]\n\\[y\\]", [(True, "x"), (True, "y")]),
        (r"$a \$ b$", [(False, "a$b")]),
    ],
)
def test_formulas_are_set(text, formulas):
    assert found(text) == formulas


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $6.",
        "It costs $5-$6, or US$5, or US$ 6, or A$7.",
        "Between $5 (or 6$) and $ 7 $.",
        "환율은 $1에 1,300원이고 $2에 2,600원입니다.",
        "$5와 6$",
        "Set $HOME/bin:$PATH, then $x and $y.",
        "$20,000 to $30,000 a year, i.e. $2k/month",
        r"\$x\$ and $$ and $ $ and \(\) and \[ \]",
        r"\\(x\\)",
        "`$x$` and `\\(x\\)`",
        "```\n$$x$$\n```",
        "    $$x$$",
        "a `$b` and `c$` d",
        "$ x$ and $x $",
        r"\(never closed",
        "$$\nnever closed",
    ],
)
def test_what_only_looks_like_a_formula_is_text(text):
    assert found(text) == []
    assert "formula" not in render(text)


def test_prices_stay_as_they_were_written():
    assert render("From $5 to $6, or US$7.") == "<p>From $5 to $6, or US$7.</p>\n"


@pytest.mark.parametrize("text", [r"\(\nonsense{x}\)", r"$$\frac{a$$", r"\[ x \label{eq:1} \]", "$x^{$"])
def test_a_formula_that_is_not_understood_shows_its_source(text):
    html = render(f"Say {text} again")
    assert f'<code class="formula">{text}</code>' in html


def test_the_source_of_a_formula_is_no_html():
    attack = r"\(\nonsense<img src=x onerror=alert(1)>\)"
    assert "<img" not in render(attack)
    assert "&lt;img src=x" in render(attack)


def test_a_formula_reaches_no_further_than_its_list_or_quote():
    html = render("> \\[ x\n\noutside \\]")
    assert found("> \\[ x\n\noutside \\]") == []
    assert "[ x" in html
    assert "outside ]" in html
