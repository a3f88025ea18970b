"""Code blocks of Markdown: coloured by Pygments' classes, with all that was written beside their fence."""

import re
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

LONGEST_COLOURED = 20_000
"""Characters of code that are coloured; more are shown plain."""
LANGUAGE = re.compile(r"[A-Za-z0-9_+#-]{1,30}")

_formatter: Any = HtmlFormatter(nowrap=True)


def extend(markdown: MarkdownIt) -> None:
    fence = markdown.renderer.rules["fence"]  # type: ignore[attr-defined]

    def with_info(_renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
        """The block; a note beside its fence that is more than a language stands above it."""
        info = unescapeAll(tokens[index].info).strip()
        note = "" if not info or LANGUAGE.fullmatch(info) else f"<p><code>{escape(info)}</code></p>\n"
        return f"{note}{fence(tokens, index, options, env)}"

    markdown.add_render_rule("fence", with_info)


def coloured(code: str, language: str, _attributes: str) -> str:
    """HTML of a code block's content; if empty, markdown-it escapes the code."""
    if not language or len(code) > LONGEST_COLOURED:
        return ""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, _formatter))
