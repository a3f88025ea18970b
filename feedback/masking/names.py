"""Finds names of people, English and Korean: by a title, by how people introduce and address each other, and by
given names that are no other words.

Every pattern has a greatest width. What nobody can tell from a list of words, such as a rare name in the middle of a
sentence, is not found.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from feedback.masking.spans import MaskKind, Span

WORD = r"[A-Z][a-zà-öø-ÿ'’-]{1,19}"
FULL = rf"{WORD}(?: (?:[A-Z]\. )?{WORD}){{0,2}}"
TITLED = re.compile(rf"\b(?:Mr|Mrs|Ms|Mx|Miss|Dr|Prof|Professor)\b\.? ({FULL})")
SAID = re.compile(rf"\b(?i:my (?:full )?name is|my name's|name ?:|(?:is|was|am) (?:named|called)) ({FULL})")
SAID_IN_SMALL_LETTERS = re.compile(r"\b(?i:my name is|my name's) ([a-z][a-z'-]{1,19})\b(?! (?:not|very|so|too)\b)")
GREETED = re.compile(rf"(?:^|(?<=\n))(?:Dear|Hi|Hello|Hey) ({FULL})(?=[,!:])")
SIGNED = re.compile(
    rf"(?:[Rr]egards|[Ss]incerely|[Cc]heers|[Tt]hanks|Yours|[Ww]ishes|Love),? ?\n{{1,2}}({FULL})(?=\s|$)"
)
ANY = re.compile(rf"(?<![\w'’]){FULL}")

SYLLABLE = "[가-힣]"
OCCUPATIONS = "선생님|교수님?|대리님?|과장님?|부장님?|팀장님?|사장님?|박사님?|원장님?|기자|의원|변호사|군|양"
KOREAN_ADDRESSED = re.compile(
    rf"(?<!{SYLLABLE})({SYLLABLE}{{2,4}}?)(?: ?씨|님| (?:{OCCUPATIONS}))(?!{SYLLABLE}{{3}})"
)
KOREAN_SAID = re.compile(
    rf"(?:이름은|이름이|이름 ?:|성함은|성명은|성명 ?:) ?({SYLLABLE}{{2,4}}?)"
    rf"(?=입니다|이에요|예요|이야|야[ .!]|이고|이라고|라고|[\s.,!]|$)"
)
KOREAN_INTRODUCED = re.compile(
    rf"(?<!{SYLLABLE})(?:저는|나는|전|난|저|안녕하세요,?) ({SYLLABLE}{{3}})(?=입니다|이에요|예요|이라고|라고|이야)"
)
PARTICLES = "이|가|은|는|을|를|의|도|와|과|랑|이랑|에게|한테|께서|께|이가|이는"
KOREAN_ANY = re.compile(rf"(?<!{SYLLABLE})({SYLLABLE}{{3}})(?=(?:{PARTICLES})?(?!{SYLLABLE}))")


@cache
def _words() -> dict[str, frozenset[str]]:
    stored = json.loads((Path(__file__).parent / "names.json").read_text(encoding="utf-8"))
    return {name: frozenset(words) for name, words in stored.items()}


def names(text: str) -> Iterator[Span]:
    for start, end in (*_english(text), *_korean(text)):
        if text[start:end] not in _words()["known_to_everybody"]:
            yield Span(start, end, MaskKind.NAME)


def is_another_word(word: str) -> bool:
    """Whether it says nothing of a person where it stands by itself, as "Will"."""
    return word in _words()["also_words"]


def _english(text: str) -> Iterator[tuple[int, int]]:
    for pattern in (TITLED, SAID, GREETED, SIGNED):
        for match in pattern.finditer(text):
            if match[1].split(" ")[0] not in _words()["no_names"]:
                yield match.span(1)
    for match in SAID_IN_SMALL_LETTERS.finditer(text):
        yield match.span(1)
    for match in ANY.finditer(text):
        yield from _from_a_given_name_on(match)


def _from_a_given_name_on(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Of capitalised words, from the first that is a given name and no other word: "Ask Sarah Johnson"."""
    at = match.start()
    for word in match[0].split(" "):
        if word.removesuffix("'s").removesuffix("’s") in _words()["english_given"]:
            end = match.end()
            yield at, end - 2 if match[0].endswith(("'s", "’s")) else end
            return
        at += len(word) + 1


def _korean(text: str) -> Iterator[tuple[int, int]]:
    for match in KOREAN_ADDRESSED.finditer(text):
        if _has_surname(match[1]) and match[1] not in _words()["korean_words"]:
            yield match.span(1)
    for match in KOREAN_SAID.finditer(text):
        if match[1] not in _words()["korean_words"]:
            yield match.span(1)
    for match in KOREAN_INTRODUCED.finditer(text):
        if _is_full_name(match[1]):
            yield match.span(1)
    for match in KOREAN_ANY.finditer(text):
        if match[1][0] in _words()["telling_surnames"] and _is_full_name(match[1]):
            yield match.span(1)


def _has_surname(name: str) -> bool:
    return name[0] in _words()["korean_surnames"]


def _is_full_name(name: str) -> bool:
    """A surname and two syllables that given names are made of, and no word that looks so."""
    given = _words()["korean_syllables"]
    return _has_surname(name) and name[1] in given and name[2] in given and name not in _words()["korean_words"]
