"""The languages of a fetched base model: those on its card, else those known of its family."""

import re
from collections.abc import Iterable

from chat import languages

_EUROPEAN = ("en", "fr", "es", "pt", "de", "it")
_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("smollm3", ("en", "fr", "es", "de", "it", "pt")),
    ("smollm", ("en",)),
    ("tinyllama", ("en",)),
    ("olmo", ("en",)),
    ("exaone", ("en", "ko")),
    ("kanana", ("ko", "en")),
    ("hyperclova", ("ko", "en")),
    (r"llama-?3", (*_EUROPEAN, "hi", "th")),
    (r"qwen-?[23]", ("zh", *_EUROPEAN, "ru", "ja", "ko", "vi", "th", "ar")),
    (r"gemma-?3", (*_EUROPEAN, "ja", "ko", "zh")),
)
"""What the makers of widely used families state; of those with dozens of languages, the main ones."""


def languages_of(source: str, of_card: Iterable[object] = ()) -> list[str]:
    """Codes of languages; none where neither the card nor the source says."""
    if stated := languages.known(of_card):
        return stated
    name = source.lower()
    return next((list(codes) for family, codes in _FAMILIES if re.search(family, name)), [])
