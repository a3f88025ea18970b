"""Titles of conversations, made from the first message unless the person gave one."""

import re

from chat.models import Conversation, Message

TITLE_CHARS = 60
LONGEST_GIVEN = 120
SHORTEST_SENTENCE = 12
"""A shorter sentence is a greeting or an abbreviation, so the title takes the next one, too."""
READ_CHARS = 4_000
"""Of a text, when a title is made from it: the patterns below look ahead."""
LINE_MARK = re.compile(r"^[^\S\n]*(?:[#>*+-]+|\d+[.)])\s+", re.MULTILINE)
EMPHASIS = re.compile(r"(?<!\w)(\*{1,3}|`{1,3}|~~|_{1,2}(?=.{0,200}_(?!\w)))(?=\S)(.{1,200}?)(?<=\S)\1")
"""Text between two equal marks, of which the first follows no letter: 2*3*4 is no emphasis."""
CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
ADDRESS = re.compile(r"https?://(?:www\.)?([^\s/?#]+)\S*")
SENTENCE_END = re.compile(r"(?<=[.!?。！？…])\s+")


def title_from(text: str) -> str:
    """The first sentence of a text, without markup, code and long addresses."""
    text = text[:READ_CHARS]
    prose = ADDRESS.sub(r"\1", CODE.sub(" ", text))
    line = on_one_line(EMPHASIS.sub(r"\2", LINE_MARK.sub("", prose))) or on_one_line(text)
    return _shortened(_first_sentence(line), TITLE_CHARS)


def given(text: str) -> str:
    """A title that a person typed, as it is stored; may be empty."""
    return _shortened(on_one_line(text), LONGEST_GIVEN)


def rename(conversation: Conversation, text: str) -> None:
    """The title that a person gives; an empty one is made from the first message again."""
    by = Conversation.TitledBy
    conversation.title = given(text)
    conversation.titled_by = by.PERSON if conversation.title else by.FIRST_MESSAGE_FOR_GOOD
    conversation.save(update_fields=["title", "titled_by"])
    name_untitled(conversation)


def name_untitled(conversation: Conversation, text: str = "") -> str:
    """The conversation's title; if it has none, made from the text or else from its first message. A temporary one
    gets none.

    The update requires an empty title, so one that a person gave meanwhile stays.
    """
    if not conversation.title and not conversation.is_temporary:
        first = conversation.messages.filter(role=Message.Role.USER, hidden_at=None).order_by("pk").first()
        made = title_from(text or (first.text if first else ""))
        Conversation.objects.filter(pk=conversation.pk, title="").update(title=made)
        conversation.refresh_from_db(fields=["title"])
    return conversation.title


def on_one_line(text: str) -> str:
    return " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())


def _first_sentence(line: str) -> str:
    """Up to the end of the first sentence that is long enough."""
    for end in SENTENCE_END.finditer(line):
        if end.start() >= SHORTEST_SENTENCE:
            return line[: end.start()]
    return line


def _shortened(line: str, chars: int) -> str:
    """At most `chars` characters, cut between words if one ends in the second half."""
    if len(line) <= chars:
        return line
    cut = line[: chars - 1]
    space = cut.rfind(" ")
    return (cut[:space] if space > chars // 2 else cut).rstrip(" ,;:-") + "…"
