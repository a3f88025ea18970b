"""Texts of models and of others made fit to be shown: what is invisible is named, nothing turns the page around."""

import re

INVISIBLE = re.compile("[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u00ad\u061c]")
TAGS = re.compile("[\U000e0000-\U000e007f]")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def shown(text: str) -> str:
    """Tag characters and controls are dropped; zero-width and direction marks become visible, as `[U+202E]`."""
    text = CONTROLS.sub("", TAGS.sub("", text.replace("\r\n", "\n")))
    return INVISIBLE.sub(lambda match: f"[U+{ord(match.group()):04X}]", text)
