"""Near-duplicate texts: found by MinHash (Broder, 1997) in bands, decided by the exact overlap of their shingles.

Two texts are near-duplicates if, without case, width, punctuation and white space, at least `OVERLAP` of their
shingles are common. Hangul is taken apart into its letters, so that a shingle is about a syllable and a half.
"""

import hashlib
import random
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

OVERLAP = 0.75
"""Jaccard index. Below it lie short questions of one form that ask for different things: among the seed prompts "Give
me a word that rhymes with light" and "... with day", at 0.73."""
SHINGLE = 4
BANDS, ROWS = 25, 5
"""Texts with an overlap of 0.75 share a band in 999 of 1,000 cases, of 0.3 in one of 17."""
LONGEST = 8000
"""Letters of a text that are compared; of longer ones, only the keys tell what follows."""

_random = random.Random(1)
_FACTORS = np.array([_random.getrandbits(64) | 1 for _ in range(BANDS * ROWS)], dtype=np.uint64)[:, None]
_SUMMANDS = np.array([_random.getrandbits(64) for _ in range(BANDS * ROWS)], dtype=np.uint64)[:, None]


@dataclass(frozen=True)
class Sketch:
    """What is compared of a text."""

    key: str
    """sha256 of the normalised text: equal for texts that differ in case, width, punctuation or white space alone."""
    shingles: frozenset[int]
    bands: tuple[int, ...]
    """Signed 64-bit hashes; near-duplicates have at least one in common."""

    def is_near(self, other: "Sketch") -> bool:
        common = len(self.shingles & other.shingles)
        return self.key == other.key or common >= OVERLAP * (len(self.shingles) + len(other.shingles) - common)


def normalised(text: str) -> str:
    """Without case, width, punctuation and white space. A text of punctuation alone stays as it is."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(letter for letter in folded if unicodedata.category(letter)[0] not in "PZC") or text.strip()


@lru_cache(maxsize=4096)
def sketch(text: str) -> Sketch:
    plain = normalised(text)
    letters = unicodedata.normalize("NFD", plain)[:LONGEST]
    last = max(0, len(letters) - SHINGLE)
    shingles = frozenset(zlib.crc32(letters[at : at + SHINGLE].encode(errors="replace")) for at in range(last + 1))
    key = hashlib.sha256(plain.encode(errors="replace")).hexdigest()
    return Sketch(key, shingles, _bands(shingles))


def _bands(shingles: frozenset[int]) -> tuple[int, ...]:
    """Multiply-shift hashing (Dietzfelbinger et al., 1997): the upper half of a product modulo 2**64."""
    hashes = np.fromiter(shingles, dtype=np.uint64, count=len(shingles))
    least = ((_FACTORS * hashes + _SUMMANDS) >> np.uint64(32)).min(axis=1).reshape(BANDS, ROWS)
    digests = (
        hashlib.blake2b(bytes([band]) + row.tobytes(), digest_size=8).digest() for band, row in enumerate(least)
    )
    return tuple(int.from_bytes(digest, "big", signed=True) for digest in digests)


class Index:
    """Texts in memory, found by their near-duplicates."""

    def __init__(self, sketches: Iterable[Sketch]) -> None:
        self._by_band: dict[int, list[Sketch]] = defaultdict(list)
        for entry in {entry.key: entry for entry in sketches}.values():
            for band in entry.bands:
                self._by_band[band].append(entry)

    def has_near(self, wanted: Sketch) -> bool:
        return next(self.near(wanted), None) is not None

    def near(self, wanted: Sketch) -> Iterator[Sketch]:
        """The texts that nearly repeat it, itself among them if it is there."""
        candidates = {entry.key: entry for band in wanted.bands for entry in self._by_band.get(band, ())}
        return (entry for entry in candidates.values() if wanted.is_near(entry))
