"""Battles between competitors as arrays: who stood on which side, how it ended, and how much it weighs."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Battles:
    """Votes, or sums of votes that are alike. All arrays have n rows."""

    competitors: int
    left: Ints
    right: Ints
    """Numbers of competitors, from 0."""
    score: Floats
    """Of the left side: 1 won, 0 lost, 1/2 tied."""
    weight: Floats
    """The sum of the votes' weights."""
    square: Floats
    """The sum of their squares, which the spread of an estimate depends on."""
    features: Floats
    """(n, number of features): left minus right."""

    def __len__(self) -> int:
        return len(self.left)

    def where(self, mask: Mask) -> "Battles":
        rows: dict[str, Any] = {name: getattr(self, name)[mask] for name in ROWS}
        return replace(self, **rows)

    def among(self, members: Ints) -> "Battles":
        """Those between the members, which are numbered anew in their order."""
        number = np.full(self.competitors, -1)
        number[members] = np.arange(len(members))
        kept = self.where((number[self.left] >= 0) & (number[self.right] >= 0))
        return replace(kept, competitors=len(members), left=number[kept.left], right=number[kept.right])


ROWS = ("left", "right", "score", "weight", "square", "features")


def of_votes(
    competitors: int, left: Ints, right: Ints, score: Floats, weight: Floats, features: Floats | None = None
) -> Battles:
    """One row for each vote."""
    style = np.zeros((len(left), 0)) if features is None else features
    return Battles(competitors, left, right, score, weight, weight**2, style)


def summed(battles: Battles) -> Battles:
    """One row for each order of sides and score, without features: what a fit without them depends on."""
    keys = np.stack([battles.left, battles.right, np.rint(2 * battles.score).astype(np.int64)], axis=1)
    alike, row = np.unique(keys, axis=0, return_inverse=True)
    weight = _totals(row.ravel(), battles.weight, len(alike))
    square = _totals(row.ravel(), battles.square, len(alike))
    left, right, score = alike[:, 0], alike[:, 1], alike[:, 2] / 2
    return Battles(battles.competitors, left, right, score, weight, square, np.zeros((len(alike), 0)))


def _totals(places: Ints, values: Floats, size: int) -> Floats:
    """(size,): the sum of the values at each place."""
    return np.asarray(np.bincount(places, values, size), dtype=float)
