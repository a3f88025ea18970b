"""A formula becomes MathML of a short list, or nothing: it hides no letter, moves nothing, and ends no process."""

import re
import string
import subprocess
import sys
import threading
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.markdown.mathml import DEEPEST, ELEMENTS, LONGEST, mathml

COMMON = [
    r"x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}",
    r"\sum_{i=1}^{n} i = \frac{n(n+1)}{2}",
    r"\int_0^\infty e^{-x^2}\,dx = \frac{\sqrt{\pi}}{2}",
    r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}",
    r"\begin{aligned} x &= 1 \\ y &= 2 \end{aligned}",
    r"f(x) = \begin{cases} 1 & \text{if } x > 0 \\ 0 & \text{otherwise} \end{cases}",
    r"\mathrm{softmax}(z)_i = \frac{e^{z_i}}{\sum_j e^{z_j}}",
    r"\mathbb{E}_{x \sim p}[\log \sigma(r_w - r_l)]",
    r"\boxed{42}",
    r"\lim_{x \to 0} \frac{\sin x}{x} = 1",
    r"\hat{\theta} = \argmax_\theta P(D \mid \theta)",
    r"\text{넓이} = \pi r^2",
    r"E = mc^2 \tag{1}",
    r"\left\{ x \in \mathbb{R} : |x| < 1 \right\}",
    r"5\,\text{km} \approx 3.1\,\text{mi}",
    r"\begin{split} a &= b \\ &= c \end{split}",
    r"\overline{AB} \perp \vec{v},\quad \angle ABC = 90^\circ",
    r"\begin{array}{c|c} p & q \\ \hline 1 & 0 \end{array}",
]


class Elements(HTMLParser):
    """Fails on an element or an attribute that is not on the list."""

    def __init__(self):
        super().__init__()
        self.open, self.first = [], None

    def handle_starttag(self, tag, attributes):
        self.first = self.first or (tag, dict(attributes))
        assert set(dict(attributes)) <= ELEMENTS[tag]
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("formula", COMMON)
def test_what_people_and_models_write_is_set(formula):
    made = mathml(formula, is_display=True)
    inspector = Elements()
    inspector.feed(made)
    assert inspector.open == []
    assert inspector.first == ("math", {"display": "block"})


def test_a_fraction_is_a_fraction():
    made = mathml(r"\frac{a+1}{2}", is_display=False)
    assert "<mfrac><mrow><mi>a</mi><mo>+</mo><mn>1</mn></mrow><mn>2</mn></mfrac>" in re.sub(
        r' [lr]space="0"', "", made
    )


def test_the_columns_of_equations_are_aligned_by_class():
    made = mathml(r"\begin{aligned} x &= 1 \end{aligned}", is_display=True)
    assert '<mtd class="right"><mi>x</mi></mtd><mtd class="left"><mo>=</mo>' in made
    assert " style=" not in made


@pytest.mark.parametrize(
    "formula",
    [
        "x % a comment that nobody would see",
        r"\phantom{secret} x",
        r"\vphantom{secret} x",
        r"\begin{equation} x \label{secret} \end{equation}",
        r"\newcommand{\a}{secret} x",
        r"\def\a{secret} x",
        r"\mathchoice{a}{b}{c}{d}",
        r"\hspace{1000em} x",
        r"\raisebox{-9em}{x}",
        r"\href{https://evil.example/}{x}",
        r"\style{display:none}{x}",
        r"\htmlData{onclick=alert(1)}{x}",
        r"\def\a{\a\a}\a",
        r"\nonsense",
        r"\frac{a",
        "x" * (LONGEST + 1),
        "{" * (DEEPEST + 1) + "x" + "}" * (DEEPEST + 1),
        r"\left(" * (DEEPEST + 1) + "x" + r"\right)" * (DEEPEST + 1),
    ],
)
def test_what_would_hide_text_or_is_not_understood_is_refused(formula):
    assert mathml(formula, is_display=True) is None


@pytest.mark.parametrize("formula", [r"\textcolor{white}{x}", r"\color{white} x", r"\kern-50em x", r"\!\!\!\! x"])
def test_colours_and_shifts_are_left_out_and_the_text_stays(formula):
    made = mathml(formula, is_display=False)
    assert "<mi>x</mi>" in made
    assert not re.search("style|color|margin|white", made)


def test_text_in_a_formula_is_escaped():
    assert mathml(r"a < b > c", is_display=False).count("&lt;") == 1
    assert "<script" not in (mathml(r"\text{<script>alert(1)</script>}", is_display=False) or "")


WORDS = [
    *COMMON,
    r"\frac",
    r"\sqrt",
    r"\text{",
    "{",
    "}",
    "^",
    "_",
    "&",
    r"\\",
    "%",
    r"\left(",
    r"\right)",
    r"\hat",
    "한",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(string.printable, max_size=6)), max_size=12).map(" ".join))
def test_any_text_is_set_or_refused(formula):
    made = mathml(formula, is_display=False)
    if made is not None:
        assert set(re.findall(r"</?([a-z]+)", made)) <= set(ELEMENTS)
        assert made.count("<") == made.count(">") == len(re.findall(r"</?[a-z]+[^<>]*>", made))


SMALL_STACK = 512 * 1024
DEEP = r"""
import sys, threading
from chat.markdown.mathml import DEEPEST, LONGEST, mathml
nested = [("{", "}"), (r"\frac{", "}2"), (r"\sqrt{", "}"), ("x^{", "}"), (r"\left(", r"\right)"), (r"\text{", "}")]
nested += [(r"\begin{cases}", r"\end{cases}"), (r"\hat ", ""), (r"\sqrt ", ""), (r"\sin^", ""), (r"\max_", "")]
nested += [("(", ""), ("f(", ""), (r"\sin(", ""), (r"\{", ""), (r"\langle ", ""), (r"\lvert ", ""), (r"\pmod ", "")]
def convert():
    for opening, closing in nested:
        for count in (DEEPEST, LONGEST // len(opening + closing) - 1):
            mathml(opening * count + "x" + closing * count, is_display=False)
threading.stack_size(%d)
thread = threading.Thread(target=convert)
thread.start()
thread.join()
print("alive")
"""


def test_the_deepest_formula_needs_neither_a_large_stack_nor_long():
    """The converter recurses in compiled code, where too deep a formula would end the whole process; and a version of
    it tries each open bracket twice, within each other."""
    program = [sys.executable, "-c", DEEP % SMALL_STACK]
    assert subprocess.run(program, capture_output=True, text=True, timeout=20, check=False).stdout == "alive\n"


def test_many_threads_may_set_formulas_at_once():
    made = []
    threads = [
        threading.Thread(target=lambda: made.extend(mathml(f, is_display=True) for f in COMMON * 20))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 * 20 * len(COMMON)
    assert None not in made
