"""Bare addresses in a text become links, as readers of chats expect; what they show is where they lead."""

import re

from markdown_it.rules_core import StateCore
from markdown_it.token import Token

ADDRESS = re.compile(r"https?://[^\s<>\"'`|\\^{}\u3000-\u303f가-힣ㄱ-ㅎㅏ-ㅣ]+", re.IGNORECASE)
"""Hangul ends one: its particles stand right behind a word. In an address it is percent-encoded."""
TRAILING = ".,;:!?*_~…"
PAIRS = {")": "(", "]": "["}


def link_addresses(state: StateCore) -> None:
    """A core rule of markdown-it. Leaves alone what is a link already, and code, which is no text."""
    for block in state.tokens:
        if block.type == "inline" and block.children:
            block.children = _linked(block.children)


def address_in(text: str) -> str:
    """The matched text without what belongs to the sentence: marks at its end, a bracket that closes no other."""
    while text:
        last = text[-1]
        if last in TRAILING or (last in PAIRS and text.count(last) > text.count(PAIRS[last])):
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
    """The text in pieces, of which some are links."""
    pieces: list[Token] = []
    end = 0
    for found in ADDRESS.finditer(token.content):
        address = address_in(found[0])
        if not address.partition("://")[2]:
            continue
        pieces += [_text(token.content[end : found.start()]), *_link(address)]
        end = found.start() + len(address)
    return [*pieces, _text(token.content[end:])] if pieces else [token]


def _link(address: str) -> list[Token]:
    opening = Token("link_open", "a", 1, attrs={"href": address}, markup="linkify", info="auto")
    return [opening, _text(address), Token("link_close", "a", -1, markup="linkify", info="auto")]


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)
