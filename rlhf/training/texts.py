"""Figures of a reply's text: first sentence, words, repetition, distinct 2-grams."""

import re
from collections.abc import Sequence

_SENTENCE = re.compile(r"\s*\S.*?[.!?…。！？]+[\"'”’)\]*]*(?=\s|$)", re.DOTALL)
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


def first_sentence(text: str) -> str:
    """Up to the first end mark that white space follows; the whole text where there is none."""
    found = _SENTENCE.match(text)
    return found.group() if found else text


def words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def is_empty(text: str) -> bool:
    """Without a single word."""
    return not words(text)


def repetition(text: str) -> float:
    """Share of 3-grams of words that occurred before in the same reply; 0 without any."""
    found = _ngrams(text, 3)
    return 1 - len(set(found)) / len(found) if found else 0.0


def distinct_2(texts: Sequence[str]) -> float:
    """Different 2-grams of words over all of them (Li et al., arXiv:1510.03055); 0 without any."""
    found = [gram for text in texts for gram in _ngrams(text, 2)]
    return len(set(found)) / len(found) if found else 0.0


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    found = words(text)
    return list(zip(*(found[start:] for start in range(n)), strict=False))
