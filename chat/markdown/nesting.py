"""Lists and quotes of Markdown that are nested too deep to lay out: their content is shown as it was written."""

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock

FROM_THE_LIMIT = 3
"""A list raises the level by two, and markdown-it leaves out what is above its limit."""


def extend(markdown: MarkdownIt) -> None:
    markdown.block.ruler.before("table", "too_deep", _as_written)


def _as_written(state: StateBlock, start: int, end: int, is_silent: bool) -> bool:
    if state.level < state.md.options.maxNesting - FROM_THE_LIMIT:
        return False
    if not is_silent:
        last = start
        while last < end and (state.isEmpty(last) or state.sCount[last] >= state.blkIndent):
            last += 1
        token = state.push("code_block", "code", 0)
        token.content = state.getLines(start, last, state.blkIndent, True)
        token.map = [start, last]
        state.line = last
    return True
