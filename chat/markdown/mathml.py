"""Sets a formula of LaTeX in MathML, which browsers lay out; refuses what would hide any of its text."""

import re
import unicodedata
from collections import Counter
from html import unescape

from math_core import LatexError, LatexToMathML

LONGEST = 1_500
DEEPEST = 40
"""Nested braces, fences and environments. The converter recurses, and a thread has a small stack."""
LAYOUT = {"displaystyle", "scriptlevel"}
SCRIPTS = ("msub", "msup", "msubsup", "mmultiscripts", "mprescripts", "mroot", "msqrt", "mtr", "mtext", "mn")
ELEMENTS: dict[str, set[str]] = {
    **{name: set() for name in SCRIPTS},
    "math": {"display"},
    "mrow": LAYOUT,
    "mtable": LAYOUT,
    "mi": {"mathvariant"},
    "mo": {"lspace", "rspace", "minsize", "maxsize", "stretchy", "symmetric", "movablelimits", "form", "accent"}
    | {"largeop", "fence", "separator"},
    "mspace": {"width"},
    "mfrac": {"linethickness", *LAYOUT},
    "munder": {"accentunder"},
    "mover": {"accent"},
    "munderover": {"accent", "accentunder"},
    "mtd": {"class"},
    "menclose": {"notation"},
}
"""MathML Core without what hides or displaces text, and the box, which a style sheet draws."""
VALUE = re.compile(r"-?\d{0,2}(?:\.\d+)?(?:em|rem|pt)?|true|false|block|inline|normal|box|prefix|infix|postfix")
CLASSES = re.compile(r"(?:left|right|line-right|line-left|line-top|line-bottom)(?: (?:left|right|line-[a-z]+))*")
STYLES = {
    "text-align: right": "right",
    "text-align: left": "left",
    **{f"border-{side}: 0.05em solid currentcolor": f"line-{side}" for side in ("right", "left", "top", "bottom")},
}
"""Inline styles of the converter that are kept, as classes; the others only space or colour."""

DEFINITION = re.compile(r"\\(?:[gex]?def|(?:re|provide)?newcommand|newenvironment|let|global|futurelet)(?![A-Za-z])")
OPENING = re.compile(r"(?<!\\)\{|\\left(?![A-Za-z])|\\begin(?![A-Za-z])")
CLOSING = re.compile(r"(?<!\\)\}|\\right(?![A-Za-z])|\\end(?![A-Za-z])")
TAG = re.compile(r"<(/?)([a-z]+)((?:\s+[a-z]+=\"[^\"]*\")*)\s*(/?)>")
ATTRIBUTE = re.compile(r"([a-z]+)=\"([^\"]*)\"")
WITHOUT_SIGN = re.compile(r"<mo[^>]*>(?:&ApplyFunction;|[\u2061-\u2064])</mo>")
"""Operators that are not to be seen."""
OF_TEXT = {"i", "b", "u", "s", "em", "strong", "code", "span"}
NO_LETTERS = re.compile(
    r"\\(?:begin|end)\s*\{[a-z]+\*?\}(?:\{[clr| ]*\})?"
    r"|\\hspace\*?\s*\{[^{}]*\}|\\m?(?:kern|skip)\s*-?[\d.]+\s*[a-z]{2}|\\hskip\s*-?[\d.]+\s*[a-z]{2}"
    r"|\\(?:text)?color\s*\{[A-Za-z]+\}|\\[A-Za-z]+\*?"
)
"""Of LaTeX, what stands for no letter of the formula."""
TAGGED = re.compile(r"\\tag\s*\{([^{}]*)\}")
NAMED_OTHERWISE = {
    "{split}": "{aligned}",
    "{smallmatrix}": "{matrix}",
    r"\begin{eqnarray}": r"\begin{array}{rcl}",
    r"\end{eqnarray}": r"\end{array}",
    r"\begin{eqnarray*}": r"\begin{array}{rcl}",
    r"\end{eqnarray*}": r"\end{array}",
}
MACROS = {
    "argmax": r"\operatorname*{arg\,max}",
    "argmin": r"\operatorname*{arg\,min}",
    "mbox": r"\text{#1}",
    "hbox": r"\text{#1}",
    "substack": r"\begin{matrix}#1\end{matrix}",
    "qed": r"\square",
}

_converter = LatexToMathML(macros=MACROS, fancy_error=False, allow_unreliable_rendering=True)


def mathml(formula: str, *, is_display: bool) -> str | None:
    """The formula in MathML; None if it is too large, not understood, or would not show all of its letters."""
    if len(formula) > LONGEST or DEFINITION.search(formula) or _depth(formula) > DEEPEST:
        return None
    try:
        made = _converter.convert_with_local_state(_in_known_words(formula), displaystyle=is_display)
    except LatexError:
        return None
    kept = _allowed(WITHOUT_SIGN.sub("", made))
    return kept if kept is not None and _shows_letters(formula, kept) else None


def _depth(formula: str) -> int:
    """Of nested groups, counting what is never closed."""
    steps = [(match.start(), 1) for match in OPENING.finditer(formula)]
    steps += [(match.start(), -1) for match in CLOSING.finditer(formula)]
    depth = deepest = 0
    for _position, step in sorted(steps):
        depth = max(0, depth + step)
        deepest = max(deepest, depth)
    return deepest


def _in_known_words(formula: str) -> str:
    for name, known in NAMED_OTHERWISE.items():
        formula = formula.replace(name, known)
    is_numbered = re.search(r"\\begin\{(?:equation|align|gather|multline)\}", formula)
    return formula if is_numbered else TAGGED.sub(r"\\qquad\\text{(\1)}", formula)


def _allowed(made: str) -> str | None:
    """The MathML with styles as classes; None if it has an element or an attribute that is not on the list."""
    out, end = [], 0
    for found in TAG.finditer(made):
        text = made[end : found.start()]
        tag = _tag(*found.groups())
        if "<" in text or tag is None:
            return None
        out += [text, tag]
        end = found.end()
    return None if "<" in made[end:] else "".join(out) + made[end:]


def _tag(slash: str, name: str, attributes: str, closes: str) -> str | None:
    if name in OF_TEXT:
        return ""
    kept = {}
    for attribute, value in ATTRIBUTE.findall(attributes):
        if attribute == "style":
            attribute, value = "class", _classes(value) if name == "mtd" else ""
            if not value:
                continue
        elif attribute not in ELEMENTS.get(name, ()) or not VALUE.fullmatch(value):
            return None
        kept[attribute] = value
    written = "".join(f' {attribute}="{value}"' for attribute, value in kept.items())
    return f"<{slash}{name}{written}>{f'</{name}>' if closes else ''}" if name in ELEMENTS else None


def _classes(style: str) -> str:
    return " ".join(STYLES[part.strip()] for part in style.split(";") if part.strip() in STYLES)


def _shows_letters(formula: str, made: str) -> bool:
    """Whether each letter and digit of the formula is in what is shown: of comments and labels nothing would be."""
    return not _letters(NO_LETTERS.sub(" ", formula)) - _letters(unescape(TAG.sub("", made)))


def _letters(text: str) -> Counter[str]:
    return Counter(sign for sign in unicodedata.normalize("NFKC", text) if sign.isalnum())
