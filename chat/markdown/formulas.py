r"""Formulas in Markdown: what stands between `$` and `$`, `\(` and `\)`, `$$`, `\[` and `\]`, or in an environment.

mdit-py-plugins has rules for this, too; they need quadratic time for brackets and know no prices.
"""

import re
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

from chat.markdown.mathml import LONGEST, mathml

CLOSING = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$"}
IN_A_LINE = ("\\(", "$")
ENVIRONMENT = re.compile(r"\\begin\{((?:align(?:ed|at)?|cases|eqnarray|equation|gather(?:ed)?|multline|split)\*?)\}")
MOST_LINES = 100
PRICE = re.compile(r"\d[^\\]*(?:[\s(][A-Za-z]{2,}|[가-힣])")
"""`5 or US` of "$5 or US$ 6" is no formula."""


def extend(markdown: MarkdownIt) -> None:
    markdown.block.ruler.before("fence", "formula_block", _block, {"alt": ["paragraph", "blockquote", "list"]})
    markdown.inline.ruler.before("escape", "formula", _inline)
    markdown.add_render_rule("formula", _html)
    markdown.add_render_rule("formula_block", _html_of_block)


# --- finding them ----------------------------------------------------------------------------------


def _inline(state: StateInline, is_silent: bool) -> bool:
    opening = next((sign for sign in CLOSING if state.src.startswith(sign, state.pos)), "")
    begin = state.pos + len(opening)
    end = _end(state.src, begin, CLOSING[opening], state.posMax) if opening else -1
    formula = state.src[begin:end]
    if end < 0 or not formula.strip() or (opening == "$" and not _is_formula(state.src, begin, end)):
        return False
    if not is_silent:
        token = state.push("formula", "math", 0)
        token.content, token.markup = formula, opening
    state.pos = end + len(CLOSING[opening])
    return True


def _end(text: str, begin: int, closing: str, limit: int) -> int:
    """Where the closing sign stands that no backslash escapes, or -1; looks no further than a formula may reach."""
    limit = min(limit, begin + LONGEST + len(closing))
    found = text.find(closing, begin, limit)
    while found > 0 and _is_escaped(text, found, begin):
        found = text.find(closing, found + 1, limit)
    return found


def _is_escaped(text: str, position: int, begin: int) -> bool:
    count = 0
    while position - count > begin and text[position - count - 1] == "\\":
        count += 1
    return count % 2 == 1


def _is_formula(text: str, begin: int, end: int) -> bool:
    """Whether what is between two `$` is neither a price nor a variable of a shell."""
    formula, before, after = text[begin:end], text[: begin - 1][-1:], text[end + 1 : end + 2]
    if formula != formula.strip() or "`" in formula or after == "$":
        return False
    is_in_a_word = any(sign.isascii() and sign.isalnum() for sign in (before, after))
    return not is_in_a_word and not PRICE.match(formula)


def _block(state: StateBlock, start: int, end: int, is_silent: bool) -> bool:
    begin, limit = state.bMarks[start] + state.tShift[start], state.eMarks[min(end, start + MOST_LINES) - 1]
    signs = None if state.is_code_block(start) else _signs(state.src, begin)
    if signs is None:
        return False
    opening, closing = signs
    found = _end(state.src, begin + len(opening), closing, limit)
    last = _line_of(state, found, start, end) if found >= 0 else -1
    if last < 0 or state.src[found + len(closing) : state.eMarks[last]].strip():
        return False
    text = state.getLines(start, last + 1, state.blkIndent, False).strip()
    is_environment = opening.startswith("\\begin")
    formula = text if is_environment else text[len(opening) : -len(closing)]
    if not formula.strip():
        return False
    if not is_silent:
        token = state.push("formula_block", "math", 0)
        token.content, token.markup, token.map = formula, "" if is_environment else opening, [start, last + 1]
        token.block = True
        state.line = last + 1
    return True


def _signs(text: str, begin: int) -> tuple[str, str] | None:
    """What opens and closes the formula that begins a line."""
    for opening in ("$$", "\\["):
        if text.startswith(opening, begin):
            return opening, CLOSING[opening]
    found = ENVIRONMENT.match(text, begin)
    return (found[0], f"\\end{{{found[1]}}}") if found else None


def _line_of(state: StateBlock, position: int, start: int, end: int) -> int:
    """The line of the position, or -1 if the list or the quote ends before it."""
    for line in range(start, end):
        if line > start and state.sCount[line] < state.blkIndent:
            return -1
        if position < state.eMarks[line]:
            return line if position >= state.bMarks[line] + state.tShift[line] else -1
    return -1


# --- showing them ----------------------------------------------------------------------------------


def _html(_renderer: Any, tokens: Any, index: int, _options: Any, _env: Any) -> str:
    """MathML, or the source where that is refused."""
    token = tokens[index]
    made = mathml(token.content, is_display=token.markup not in IN_A_LINE)
    return made or f'<code class="formula">{escape(_source(token))}</code>'


def _html_of_block(_renderer: Any, tokens: Any, index: int, _options: Any, _env: Any) -> str:
    token = tokens[index]
    made = mathml(token.content, is_display=True)
    return f"{made}\n" if made else f'<pre><code class="formula">{escape(_source(token))}</code></pre>\n'


def _source(token: Any) -> str:
    return f"{token.markup}{token.content}{CLOSING.get(token.markup, '')}"
