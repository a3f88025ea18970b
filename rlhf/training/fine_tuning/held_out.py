"""Rows that are kept back to measure on: the validation file's, else some of the training file's by the seed."""

import random
from collections.abc import Sequence

from rlhf.training.fine_tuning.rows import Row

FEWEST_TO_SPLIT = 10
SHARE = 0.1
MOST = 50
"""Of the rows kept back, and of those that are answered for the comparison."""
MOST_MEASURED = 500
"""Of a validation file's rows in the curves."""


def split(
    rows: Sequence[Row], validation: Sequence[Row] | None, *, share: float = SHARE, seed: int
) -> tuple[list[Row], list[Row]]:
    """(learnt, held out). Rows that say the same stay on one side."""
    if validation is not None:
        return list(rows), pick(validation, MOST_MEASURED, seed)
    if len(rows) < FEWEST_TO_SPLIT or not share:
        return list(rows), []
    distinct = list(dict.fromkeys(rows))
    wanted = min(MOST, max(1, round(share * len(rows))), len(distinct) - 1)
    back = set(random.Random(f"{seed}/held out").sample(distinct, wanted))
    return [row for row in rows if row not in back], [row for row in distinct if row in back]


def pick(rows: Sequence[Row], most: int, seed: int) -> list[Row]:
    """At most so many of them, in their order."""
    if len(rows) <= most:
        return list(rows)
    chosen = sorted(random.Random(f"{seed}/picked").sample(range(len(rows)), most))
    return [rows[index] for index in chosen]
