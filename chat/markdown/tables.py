"""Tables of Markdown: all cells that were written are shown, and no short text becomes a huge table."""

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import escapedSplit, getLine, table
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

MOST_CELLS = 5_000
"""Cells of all tables of a text; a row of one letter may stand for a row of a hundred cells."""
ALIGNMENT = "text-align:"


def extend(markdown: MarkdownIt) -> None:
    markdown.block.ruler.at("table", _whole_table, {"alt": ["paragraph", "reference"]})
    markdown.core.ruler.push("alignment", _align_by_class)


def _whole_table(state: StateBlock, start: int, end: int, is_silent: bool) -> bool:
    """markdown-it's rule, within the budget of cells, and with the cells for which the head has no column."""
    if start + 2 > end:
        return False
    rows = (MOST_CELLS - state.env.get("cells", 0)) // max(1, getLine(state, start + 1).count("|"))
    begin = len(state.tokens)
    if rows < 1 or not table(state, start, min(end, start + 1 + rows), is_silent):
        return False
    if not is_silent:
        state.tokens[begin:] = _with_every_cell(state, state.tokens[begin:])
        cells = sum(token.tag in ("td", "th") for token in state.tokens[begin:]) // 2
        state.env["cells"] = state.env.get("cells", 0) + cells
    return True


def _with_every_cell(state: StateBlock, made: list[Token]) -> list[Token]:
    out: list[Token] = []
    row, width = 0, 0
    for token in made:
        if token.type == "tr_open" and token.map:
            row, width = token.map[0], 0
        width += token.type in ("td_open", "th_open")
        if token.type == "tr_close":
            for content in _cells(getLine(state, row))[width:]:
                out += _cell(content, token.level + 1, row)
        out.append(token)
    return out


def _cells(line: str) -> list[str]:
    cells = escapedSplit(line.strip())
    return cells[bool(cells and not cells[0]) : -1 if cells and not cells[-1] else None]


def _cell(content: str, level: int, row: int) -> list[Token]:
    inline = Token("inline", "", 0, content=content.strip(), level=level + 1, map=[row, row + 1], children=[])
    opening = Token("td_open", "td", 1, level=level, block=True)
    return [opening, inline, Token("td_close", "td", -1, level=level, block=True)]


def _align_by_class(state: StateCore) -> None:
    """A core rule of markdown-it: an inline style would be refused."""
    for token in state.tokens:
        style = str(token.attrs.pop("style", "")) if token.type in ("td_open", "th_open") else ""
        if style:
            token.attrs["class"] = f"align-{style.removeprefix(ALIGNMENT)}"
