"""Task lists of Markdown: `[ ]` and `[x]` at the start of a list's item become check boxes that nobody can change."""

import re

from django.utils.translation import gettext as _
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

BOX = re.compile(r"\[([ xX])\](?=\s)")


def extend(markdown: MarkdownIt) -> None:
    markdown.core.ruler.after("inline", "task_lists", _mark_tasks)


def _mark_tasks(state: StateCore) -> None:
    tokens = state.tokens
    for index in range(2, len(tokens)):
        kinds = [token.type for token in tokens[index - 2 : index + 1]]
        if kinds == ["list_item_open", "paragraph_open", "inline"]:
            _put_box(tokens[index])


def _put_box(inline: Token) -> None:
    match = BOX.match(inline.content)
    children = inline.children or []
    if match is None or not children or not children[0].content.startswith(match[0]):
        return
    children[0].content = children[0].content[len(match[0]) :]
    is_done = match[1] != " "
    name = _("Task done") if is_done else _("Task not done")
    box = Token("task_box", "input", 0, attrs={"type": "checkbox", "disabled": "", "aria-label": name})
    if is_done:
        box.attrs["checked"] = ""
    inline.children = [box, *children]
