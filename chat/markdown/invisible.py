"""Makes invisible characters of untrusted text visible, so that none hides text or reverses what stands beside it."""

import re

NEVER_SEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Control characters, zero-width characters, direction marks, Hangul fillers, and tags, which spell hidden text."""


def marked(text: str) -> str:
    """Shows each such character by its number, for example as `[U+202E]`."""
    return NEVER_SEEN.sub(lambda match: f"[U+{ord(match.group()):04X}]", text.replace("\r\n", "\n"))
