"""Figures of a reply's text: first sentence, words, repetition, distinct 2-grams, whether it is a sentence at all."""

import re
import unicodedata
from collections import Counter
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


def has_sentence(text: str) -> bool:
    """Whether anything in the text says something of something, in Korean, English or another language.

    By form, without a dictionary. A clause (between commas and the like) of three different words, or of two that
    begin with a pronoun ("I agree."); six where no end mark follows, as where the length limit cut it. In Korean a
    predicate's ending after another eojeol, or a formal one alone ("맞습니다."). In scripts without spaces six
    different letters, twelve without a mark. So names, yes and no, greetings, lists of words, headings that end in a
    colon, one word over and over and rows of emoji are none; a noun phrase with an end mark ("The tall tree.",
    "푸른 바다.") passes for one.
    """
    return any(_is_sentence(found["said"], found["mark"]) for found in _STRETCH.finditer(text))


def says_something(text: str, prompt: str) -> bool:
    """Whether the text holds a sentence that is not in the prompt word for word: an echo says nothing."""
    asked = f" {' '.join(words(prompt))} "
    own = (found.group() for found in _STRETCH.finditer(text) if f" {' '.join(words(found.group()))} " not in asked)
    return has_sentence("".join(own))


_STRETCH = re.compile(r"(?P<said>.+?)(?P<mark>[。！？]+|[.!?…]+(?=[\s\"'”’)\]*_]|$)|\n|\Z)", re.DOTALL)
_CLAUSE_END = re.compile(r"[,;:、，；：()–—]|\s-\s")
_HANGUL, _UNSPACED = re.compile(r"[가-힣]"), re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")
_PRONOUNS = frozenset(["i", "you", "he", "she", "it", "we", "they", "this", "that", "there", "here", "who", "what"])
_SHORTENED = re.compile(r"['’](?:m|s|re|ve|ll|d)$")
_PREDICATE = re.compile(r"(?:다|요|죠|까|네|냐|군)$")
_FORMAL = re.compile(r"(?:니다|니까|십시오)$")
_SAID_ALONE = re.compile(
    r"(?:네|예|응|아니|아니요|아뇨|아니오|글쎄요|그래요|안녕하세요|안녕하십니까|감사합니다|고맙습니다|죄송합니다)$"
)


def _is_sentence(said: str, mark: str) -> bool:
    is_ended = bool(mark.strip())
    if _HANGUL.search(said):
        return _is_korean([word for word in words(said) if not _SAID_ALONE.match(word)], is_ended)
    if _UNSPACED.search(said):
        return len(set(_UNSPACED.findall(said))) >= (6 if is_ended else 12)
    return any(_is_clause(words(clause), is_ended) for clause in _CLAUSE_END.split(said))


def _is_clause(clause: Sequence[str], is_ended: bool) -> bool:
    """Of a language that puts spaces between words."""
    different = len(set(clause))
    if not is_ended or different != 2:
        return different >= (3 if is_ended else 6)
    return _SHORTENED.sub("", clause[0]) in _PRONOUNS


def _is_korean(eojeols: Sequence[str], is_ended: bool) -> bool:
    if not eojeols or not _PREDICATE.search(eojeols[-1]):
        return not is_ended and len(set(eojeols)) >= 6
    return len(set(eojeols)) >= 2 or bool(_FORMAL.search(eojeols[-1]))


def script_of(text: str) -> str | None:
    """The writing system of most of its letters, as Unicode names it (LATIN, HANGUL, CYRILLIC ...); None without any.

    Kana and Chinese characters are one: Japanese mixes them.
    """
    found = Counter(_script(char) for char in text if char.isalpha())
    return found.most_common(1)[0][0] if found else None


def _script(char: str) -> str:
    name = unicodedata.name(char, "UNKNOWN").split()[0].removesuffix("-COMPATIBILITY")
    return "CJK" if name in ("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH", "IDEOGRAPHIC") else name
