"""Links of Markdown: bare addresses become links, no link is without text, and its target can be shown beside it."""

import re

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

SCHEMES = {"http", "https", "mailto"}
ADDRESS = re.compile(r"https?://|mailto:", re.IGNORECASE)
BARE_ADDRESS = re.compile(r"https?://[^\s<>\"'`|\\^{}\u3000-\u303f가-힣ㄱ-ㅎㅏ-ㅣ]+", re.IGNORECASE)
"""Hangul ends an address, since particles directly follow a word; inside one it is percent-encoded."""
PUNCTUATION_AFTER_IT = ".,;:!?*_~…"
BRACKETS = {")": "(", "]": "["}
SHOWS_TARGETS = "shows_targets"
"""Key of markdown-it's environment."""


def extend(markdown: MarkdownIt) -> None:
    markdown.core.ruler.push("links", _complete_links)


def _complete_links(state: StateCore) -> None:
    """A core rule of markdown-it, for what stands in no code."""
    for block in state.tokens:
        if block.type == "inline" and block.children:
            block.children = _completed(block.children, bool(state.env.get(SHOWS_TARGETS)), state.md)


def _completed(tokens: list[Token], shows_targets: bool, markdown: MarkdownIt) -> list[Token]:
    opening: Token | None = None
    out: list[Token] = []
    for token in tokens:
        if token.type == "link_open":
            opening = token
        elif token.type == "link_close" and opening is not None:
            if out[-1] is opening:
                out.append(_text_token(_target(opening, "href", markdown)))
            out += [token, *(_note(opening, "href", markdown) if shows_targets else [])]
            opening = None
            continue
        out += _pieces(token) if token.type == "text" and opening is None else [token]
        if token.type == "image" and shows_targets:
            out += _note(token, "src", markdown)
    return out


def _note(token: Token, attribute: str, markdown: MarkdownIt) -> list[Token]:
    """The target of a link or an image, and its title."""
    if token.info == "auto":
        return []
    title = token.attrs.get("title")
    note = _target(token, attribute, markdown) + (f' "{title}"' if title else "")
    return [_text_token(" "), Token("code_inline", "code", 0, content=note)]


def _target(token: Token, attribute: str, markdown: MarkdownIt) -> str:
    return markdown.normalizeLinkText(str(token.attrs[attribute]))


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


def _address_in(text: str) -> str:
    """The matched text without punctuation of the sentence: marks at its end, an unmatched closing bracket."""
    unmatched = {close: text.count(close) - text.count(opening) for close, opening in BRACKETS.items()}
    end = len(text)
    while end and (text[end - 1] in PUNCTUATION_AFTER_IT or unmatched.get(text[end - 1], 0) > 0):
        end -= 1
        if text[end] in unmatched:
            unmatched[text[end]] -= 1
    return text[:end]


def _link(address: str) -> list[Token]:
    opening = Token("link_open", "a", 1, attrs={"href": address}, markup="linkify", info="auto")
    return [opening, _text_token(address), Token("link_close", "a", -1, markup="linkify", info="auto")]


def _text_token(content: str) -> Token:
    return Token("text", "", 0, content=content)
