"""Masks the texts of one conversation: the same value gets the same mask wherever it stands."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from feedback.masking import addresses, names, numbers
from feedback.masking.spans import MaskKind, Span, without_overlaps

FINDERS = (
    numbers.identity_numbers,
    numbers.cards,
    numbers.ip_addresses,
    addresses.emails,
    numbers.phones,
    addresses.postal_addresses,
    names.names,
)
"""Of two that find the same place, the first names it."""
WORD = re.compile(r"[\w'’-]{1,40}")
MASK = re.compile(r"<(?:NAME|ADDRESS|EMAIL|PHONE|CARD|ID_NUMBER|IP)_\d{1,6}>")
FULL_KOREAN_NAME, LONGEST_KOREAN_NAME = 3, 4


class Masker:
    """Made of all texts of a conversation, oldest first, then asked for the masked form of each."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._masks: dict[tuple[MaskKind, str], str] = {}
        self._names: dict[str, str] = {}
        """Each word of a name that was found, with the name: "Sarah" after "Sarah Johnson"."""
        self._given: dict[str, str] = {}
        """The same of Korean given names, which are looked for nowhere: many are other words, too."""
        self._counts: Counter[MaskKind] = Counter()
        for text in texts:
            self._learn(text)

    def masked(self, text: str) -> str:
        """Idempotent: a mask is left as it is."""
        self._learn(text)
        parts, at = list[str](), 0
        for span in without_overlaps([*_found(text), *self._known_names(text)]):
            parts += [text[at : span.start], self._mask(span.kind, text[span.start : span.end])]
            at = span.end
        return "".join([*parts, text[at:]])

    def _learn(self, text: str) -> None:
        for span in without_overlaps(_found(text)):
            value = text[span.start : span.end]
            self._mask(span.kind, value)
            if span.kind is MaskKind.NAME:
                self._learn_name(value)

    def _learn_name(self, value: str) -> None:
        for word in (value, *value.split(" ")):
            if len(word) > 1 and not names.is_another_word(word):
                self._names.setdefault(word, value)
        if len(value) == FULL_KOREAN_NAME and "가" <= value[0] <= "힣":
            self._given.setdefault(value[1:], value)

    def _known_names(self, text: str) -> Iterator[Span]:
        """Words of names that another place has told; a Korean one with its particle. Two lookups a word, so the
        time does not grow with the number of names."""
        for match in WORD.finditer(text):
            for length in _lengths_of_a_name(match[0]):
                if match[0][:length] in self._names:
                    yield Span(match.start(), match.start() + length, MaskKind.NAME)
                    break

    def _mask(self, kind: MaskKind, value: str) -> str:
        whole = self._given.get(value) or self._names.get(value, value) if kind is MaskKind.NAME else value
        key = (kind, _normalised(kind, whole))
        if key not in self._masks:
            self._counts[kind] += 1
            self._masks[key] = f"<{kind}_{self._counts[kind]}>"
        return self._masks[key]


def counted(texts: Sequence[str]) -> dict[str, int]:
    """How many different values of each kind are masked in them."""
    masks = {mask for text in texts for mask in MASK.findall(text)}
    return dict(sorted(Counter(mask[1:].rpartition("_")[0] for mask in masks).items()))


def _found(text: str) -> Iterator[Span]:
    """Without what stands in a mask already."""
    readable = MASK.sub(lambda mask: "\0" * len(mask[0]), text)
    taken: set[int] = set()
    for finder in FINDERS:
        for span in finder(readable):
            if span.start not in taken:
                taken.add(span.start)
                yield span


def _lengths_of_a_name(word: str) -> tuple[int, ...]:
    if "가" <= word[0] <= "힣":
        return tuple(range(min(len(word), LONGEST_KOREAN_NAME), 1, -1))
    possessive = len(word) - 2 if word.endswith(("'s", "’s")) else len(word)
    return (len(word), possessive)


def _normalised(kind: MaskKind, value: str) -> str:
    """What two ways of writing the same value have in common."""
    if kind in (MaskKind.PHONE, MaskKind.CARD, MaskKind.ID_NUMBER):
        return "".join(letter for letter in value if letter.isdecimal())
    return " ".join(value.casefold().split())


def masked_turns(turns: Sequence[Mapping[str, str]], masker: Masker) -> list[dict[str, str]]:
    """Messages with their contents masked; the site's own instructions stay as they are."""
    return [
        {**turn, "content": turn["content"] if turn["role"] == "system" else masker.masked(turn["content"])}
        for turn in turns
    ]
