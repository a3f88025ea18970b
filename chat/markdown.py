"""Renders a model's Markdown as HTML that is safe to show: no raw HTML, images, scripts or inline styles."""

import re
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

TAGS = {
    *("a", "blockquote", "br", "code", "del", "em", "hr", "li", "ol", "p", "pre", "s", "span", "strong", "ul"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "tbody", "td", "th", "thead", "tr"),
}
ATTRIBUTES = {"a": {"href", "title"}, "code": {"class"}, "span": {"class"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}
LONGEST_HIGHLIGHT = 20_000
"""Characters of code that are coloured; more are shown plain."""
INVISIBLE = re.compile("[\U000e0000-\U000e007f\u202a-\u202e\u2066-\u2069]")
"""Tag characters and direction controls, which make text look different from what is stored."""
PYGMENTS_CLASS = re.compile(r"[a-z][a-z0-9]{0,3}")
LANGUAGE_CLASS = re.compile(r"language-[A-Za-z0-9_+#-]{1,30}")
BARE_ADDRESS = re.compile(r"https?://[^\s<>\"'`|\\^{}\u3000-\u303f가-힣ㄱ-ㅎㅏ-ㅣ]+", re.IGNORECASE)
"""Hangul ends an address, since particles directly follow a word; inside one it is percent-encoded."""
PUNCTUATION_AFTER_IT = ".,;:!?*_~…"
BRACKETS = {")": "(", "]": "["}


def render(text: str) -> str:
    """Sanitised HTML. Code is coloured by classes of Pygments; nothing needs inline style."""
    html = _markdown.render(INVISIBLE.sub("", text))
    return nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_filter,
        url_schemes=SCHEMES,
        link_rel="nofollow noopener",
        set_tag_attribute_values={"a": {"target": "_blank"}},  # the conversation stays open
        clean_content_tags={"script", "style"},
    )


def _filter(tag: str, attribute: str, value: str) -> str | None:
    if attribute == "class":
        allowed = PYGMENTS_CLASS if tag == "span" else LANGUAGE_CLASS
        return value if allowed.fullmatch(value) else None
    if attribute == "href":
        return value if re.match(r"(?:https?://|mailto:)", value, re.IGNORECASE) else None
    return value


def _colour(code: str, language: str, _attributes: str) -> str:
    """HTML of a code block's content; if empty, markdown-it escapes the code."""
    if not language or len(code) > LONGEST_HIGHLIGHT:
        return ""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return ""
    coloured: str = highlight(code, lexer, _formatter)
    return coloured


def _description(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    """An image becomes its description, so that the reader's browser loads nothing."""
    return escapeHtml(tokens[index].content)


_formatter: Any = HtmlFormatter(nowrap=True)


def _link_addresses(state: StateCore) -> None:
    """A core rule of markdown-it that links bare addresses, but not in links and code."""
    for block in state.tokens:
        if block.type == "inline" and block.children:
            block.children = _linked(block.children)


def _address_in(text: str) -> str:
    """The matched text without punctuation of the sentence: marks at its end, an unmatched closing bracket."""
    while text:
        last = text[-1]
        if last in PUNCTUATION_AFTER_IT or (last in BRACKETS and text.count(last) > text.count(BRACKETS[last])):
            text = text[:-1]
        else:
            break
    return text


def _linked(tokens: list[Token]) -> list[Token]:
    depth = 0
    out: list[Token] = []
    for token in tokens:
        depth += {"link_open": 1, "link_close": -1}.get(token.type, 0)
        out += _pieces(token) if token.type == "text" and depth == 0 else [token]
    return out


def _pieces(token: Token) -> list[Token]:
    """The text as tokens, with its addresses as links."""
    pieces: list[Token] = []
    end = 0
    for found in BARE_ADDRESS.finditer(token.content):
        address = _address_in(found[0])
        if not address.partition("://")[2]:
            continue
        pieces += [_text_token(token.content[end : found.start()]), *_link(address)]
        end = found.start() + len(address)
    return [*pieces, _text_token(token.content[end:])] if pieces else [token]


def _link(address: str) -> list[Token]:
    opening = Token("link_open", "a", 1, attrs={"href": address}, markup="linkify", info="auto")
    return [opening, _text_token(address), Token("link_close", "a", -1, markup="linkify", info="auto")]


def _text_token(content: str) -> Token:
    return Token("text", "", 0, content=content)


_markdown = MarkdownIt("commonmark", {"html": False, "highlight": _colour}).enable(["table", "strikethrough"])
_markdown.add_render_rule("image", _description)
_markdown.core.ruler.push("addresses", _link_addresses)
