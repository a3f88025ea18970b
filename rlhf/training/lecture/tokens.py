"""The tokens that all models of the lecture share: words, or byte pairs where words do not stand apart by spaces."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = "vocabulary.json"
BYTE_PAIRS = "tokenizer.json"
UNKNOWN = "<unk>"
RARE = 3
"""A word seen less often counts as unknown."""
RARE_CHARACTERS = 30_000
"""In a shorter text every word counts."""
BYTE_PAIR_TYPES = 4096
"""Of byte-level byte pair encoding (Sennrich et al. 2016; of bytes: Radford et al. 2019, section 2.2)."""
WORD = re.compile(r"\n|\w+(?:['’]\w+)*|[^\w\s]")
"""A line's end is a token: verses, lines of a poem and speeches begin and end for a reason."""
NO_SPACE_BEFORE = set(".,;:!?)]}’”%")
NO_SPACE_AFTER = set("([{‘“")
JOINED_SCRIPTS = re.compile(r"[\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
"""Korean with its particles, Japanese, Chinese, Thai: a word of a dictionary is only a part of what spaces part."""
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Words:
    """Lower-cased words, marks and line ends; number 0 is every other word."""

    words: tuple[str, ...]

    kind = "words"

    @property
    def size(self) -> int:
        return len(self.words)

    @cached_property
    def numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def split(self, text: str) -> list[str]:
        return WORD.findall(text.lower())

    def encode(self, text: str) -> list[int]:
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [[self.numbers.get(word, 0) for word in self.split(text)] for text in texts]

    def shown(self, number: int) -> str:
        return self.words[number]

    def following(self, text: str, number: int) -> str:
        """The text with that token behind it."""
        word = self.words[number]
        joined = not text or word in NO_SPACE_BEFORE or word == "\n" or text[-1] in NO_SPACE_AFTER | {"\n"}
        return text.rstrip(" ") + ("" if joined else " ") + word

    def save(self, folder: Path) -> None:
        (folder / VOCABULARY).write_text(json.dumps(self.words, ensure_ascii=False), encoding="utf-8")


class BytePairs:
    """Byte-level byte pairs that were joined by their frequency in the text; nothing is unknown to them."""

    kind = "byte_pairs"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @property
    def size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(found.ids) for found in self._tokenizer.encode_batch(list(texts))]

    def shown(self, number: int) -> str:
        """A part of a character as its bytes."""
        text = str(self._tokenizer.decode([number]))
        return text if "\ufffd" not in text else self._bytes_of(number)

    def _bytes_of(self, number: int) -> str:
        code = {char: byte for byte, char in _byte_characters().items()}
        return " ".join(f"{code[char]:02x}" for char in str(self._tokenizer.id_to_token(number)))

    def following(self, text: str, number: int) -> str:
        return str(self._tokenizer.decode([*self.encode(text), number]))

    def save(self, folder: Path) -> None:
        self._tokenizer.save(str(folder / BYTE_PAIRS))


Vocabulary = Words | BytePairs


def _byte_characters() -> dict[int, str]:
    """By which letter byte-level encoding writes each byte (Radford et al. 2019)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(others)}


def _are_words_apart(texts: Iterable[str]) -> bool:
    """Whether fewer than a fifth of the letters are of a script whose words do not stand apart."""
    letters = joined = 0
    for text in texts:
        letters += sum(char.isalpha() for char in text)
        joined += len(JOINED_SCRIPTS.findall(text))
    return joined * 5 < max(1, letters)


def learn(texts: Sequence[str]) -> Vocabulary:
    """The vocabulary of a text, from its training part alone."""
    return _learn_words(texts) if _are_words_apart(texts) else _learn_byte_pairs(texts)


def _learn_words(texts: Sequence[str]) -> Words:
    counted = Counter(word for text in texts for word in WORD.findall(text.lower()))
    least = RARE if sum(map(len, texts)) >= RARE_CHARACTERS else 1
    kept = sorted((word for word, times in counted.items() if times >= least), key=lambda w: (-counted[w], w))
    return Words((UNKNOWN, *kept))


def _learn_byte_pairs(texts: Sequence[str]) -> BytePairs:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=BYTE_PAIR_TYPES,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return BytePairs(tokenizer)


def load(folder: Path) -> Vocabulary:
    """Raises OSError."""
    if (folder / BYTE_PAIRS).exists():
        return BytePairs(Tokenizer.from_file(str(folder / BYTE_PAIRS)))
    return Words(tuple(json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))))


def stream(vocabulary: Vocabulary, texts: Sequence[str]) -> tuple[Ids, Ids]:
    """The tokens of all texts one after another, and where each text begins."""
    encoded = [ids for ids in vocabulary.encode_all(texts) if ids]
    tokens = np.fromiter((number for ids in encoded for number in ids), dtype=np.int64)
    starts = np.cumsum([0, *map(len, encoded[:-1])], dtype=np.int64)[: len(encoded)]
    return tokens, starts
