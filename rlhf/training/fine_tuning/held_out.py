"""Chooses the held-out rows: the validation file's, else a seeded share of the training file's."""

import random
from collections.abc import Sequence

from rlhf.training.fine_tuning.rows import DataRow

FEWEST_TO_SPLIT = 10
SHARE = 0.1
MOST = 50
"""Of the rows held out, and of those that are answered for the comparison."""
MOST_MEASURED = 500
"""Of a validation file's rows in the curves."""


def split(
    rows: Sequence[DataRow], validation: Sequence[DataRow] | None, *, share: float = SHARE, seed: int
) -> tuple[list[DataRow], list[DataRow]]:
    """(to train on, held out). Equal rows stay on one side."""
    if validation is not None:
        return list(rows), pick(validation, MOST_MEASURED, seed)
    if len(rows) < FEWEST_TO_SPLIT or not share:
        return list(rows), []
    distinct = list(dict.fromkeys(rows))
    wanted = min(MOST, max(1, round(share * len(rows))), len(distinct) - 1)
    held_out = set(random.Random(f"{seed}/held out").sample(distinct, wanted))
    return [row for row in rows if row not in held_out], [row for row in distinct if row in held_out]


def pick(rows: Sequence[DataRow], most: int, seed: int) -> list[DataRow]:
    """At most so many of them, in their order."""
    if len(rows) <= most:
        return list(rows)
    chosen = sorted(random.Random(f"{seed}/picked").sample(range(len(rows)), most))
    return [rows[index] for index in chosen]
