"""Reads the votes that count today as arrays, each person's weight capped."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from django.db.models import F, Q, QuerySet

from feedback import shares, trainable
from feedback.leaderboard.battles import Battles, Floats, Ints, of_votes
from feedback.leaderboard.style import FEATURES, scaled
from feedback.models import Vote

Row = tuple[Any, ...]
COLUMNS = ("left_id", "right_id", "score", "at", *FEATURES)


@dataclass(frozen=True)
class Votes:
    """Those of one kind of judges, in the order in which they were cast."""

    policies: list[int]
    """Ids of those that stand in them; a battle has their places in this list."""
    battles: Battles
    months: Ints
    """(votes,): the year times 12 plus the month, from 0."""
    people: int


def read(*, simulated: bool, language: str = "") -> Votes:
    """People's votes, or programs'; of prompts in one language, if one is given."""
    rows = sorted(
        (row for judge in ("comparison", "ranking") for row in _counted(judge, simulated, language)),
        key=lambda row: row[3],
    )
    people = np.array([row[-1] for row in rows], dtype=np.int64)
    ids, places = np.unique(np.array([row[:2] for row in rows], dtype=np.int64).reshape(-1, 2), return_inverse=True)
    sides = places.reshape(-1, 2)
    style = np.array([row[4 : 4 + len(FEATURES)] for row in rows], dtype=float).reshape(-1, len(FEATURES))
    score = np.array([row[2] for row in rows], dtype=float)
    battles = of_votes(len(ids), sides[:, 0], sides[:, 1], score, _weights(people), scaled(style))
    return Votes(ids.tolist(), battles, _months([row[3] for row in rows]), len(set(people.tolist())))


def languages(*, simulated: bool) -> list[str]:
    """Codes of those that votes which count are in."""
    found = [_judged(judge, simulated).order_by().values_list("language", flat=True).distinct() for judge in JUDGES]
    return sorted({code for codes in found for code in codes})


def _counted(judge: str, simulated: bool, language: str) -> list[Row]:
    rows = _judged(judge, simulated).filter(Q(language=language) if language else Q())
    return list(rows.values_list(*COLUMNS, F(f"{judge}__annotator_id")))


def _judged(judge: str, simulated: bool) -> QuerySet[Vote]:
    counted = JUDGES[judge]().filter(is_simulated=simulated)
    return Vote.objects.filter(**{f"{judge}__in": counted})


JUDGES = {"comparison": trainable.comparisons, "ranking": trainable.rankings}


def _weights(people: Ints) -> Floats:
    """That of each vote, so that one busy person does not decide (feedback.shares)."""
    ids, places, counts = np.unique(people, return_inverse=True, return_counts=True)
    of_each = shares.weights(dict(zip(ids.tolist(), counts.tolist(), strict=True)))
    return np.array([of_each[person] for person in ids.tolist()], dtype=float)[places.ravel()]


def _months(moments: list[datetime]) -> Ints:
    return np.array([moment.year * 12 + moment.month - 1 for moment in moments], dtype=np.int64)
