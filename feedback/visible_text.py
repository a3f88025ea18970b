"""Makes untrusted text safe to show: invisible characters become visible, and none can reverse the page's text."""

import re

INVISIBLE = re.compile("[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u00ad\u061c]")
TAGS = re.compile("[\U000e0000-\U000e007f]")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def shown(text: str) -> str:
    """Removes tag and control characters; shows zero-width and direction marks as, for example, `[U+202E]`."""
    text = CONTROLS.sub("", TAGS.sub("", text.replace("\r\n", "\n")))
    return INVISIBLE.sub(lambda match: f"[U+{ord(match.group()):04X}]", text)
