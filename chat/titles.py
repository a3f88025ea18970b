"""The title that a conversation gets by itself: the first words of what was said first."""

from django.utils.text import Truncator

TITLE_CHARS = 60


def title_from(text: str, length: int = TITLE_CHARS) -> str:
    """The first words of a text on one line, without what a title cannot hold."""
    line = " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())
    return Truncator(line).chars(length)
