"""Sums of word vectors by numpy alone: which tokens lie where a sum of others points (Mikolov et al. 2013)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhf.training.lecture import arrays

EMBEDDINGS = ("model.embed_tokens.weight", "gpt_neox.embed_in.weight", "transformer.wte.weight")
"""What the embedding of a policy is called in its file, by family."""
ROWS = 4096
"""Vectors that are read and compared at once: an embedding need not fit into memory as floats."""


class NoEmbedding(Exception):
    """A policy whose file has no embedding under a name that is known here."""


class WordVectors:
    """One vector for each token, read from a policy's file where it lies."""

    def __init__(self, rows: NDArray[Any]) -> None:
        """(tokens, width), as floats or as the 16 bits of bfloat16."""
        self._rows = rows

    @classmethod
    def of_policy(cls, folder: Path) -> "WordVectors":
        """Raises NoEmbedding, OSError, BadArrays."""
        for path in sorted(folder.glob("*.safetensors")):
            found = arrays.read(path, only=EMBEDDINGS)
            for name in EMBEDDINGS:
                if name in found:
                    return cls(found[name])
        raise NoEmbedding(folder.name)

    def nearest(
        self, plus: Sequence[int], minus: Sequence[int] = (), *, most: int = 8, without: Sequence[int] = ()
    ) -> list[tuple[int, float]]:
        """The tokens whose vectors point most as the sum does, with the cosine. Each part counts by its direction
        alone; those that were added up are left out, and `without`."""
        total = self._directions(list(plus)).sum(0) - self._directions(list(minus)).sum(0)
        length = float(np.linalg.norm(total))
        if not length:
            return []
        likeness = np.concatenate([block @ (total / length) for block in self._blocks()])
        likeness[[*plus, *minus, *without]] = -np.inf
        best = np.argsort(-likeness, kind="stable")[:most]
        return [(int(number), float(likeness[number])) for number in best if np.isfinite(likeness[number])]

    def _blocks(self) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(self._rows), ROWS):
            yield self._directions(slice(start, start + ROWS))

    def _directions(self, which: slice | list[int]) -> NDArray[np.float32]:
        """Of length 1; zeros stay zeros."""
        rows = self._rows[which]
        floats = (rows.astype(np.uint32) << 16).view(np.float32) if rows.dtype == np.uint16 else rows
        lengths = np.linalg.norm(floats, axis=1, keepdims=True)
        found: NDArray[np.float32] = np.divide(floats, lengths, out=np.zeros_like(floats), where=lengths > 0)
        return found
