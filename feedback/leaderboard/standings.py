"""The table of a leaderboard: ratings with intervals, counts, wins between each two, and ratings month by month."""

from dataclasses import dataclass

import numpy as np

from feedback.leaderboard.battles import Battles, Floats, Ints, summed
from feedback.leaderboard.bradley_terry import RatingFit, fit
from feedback.leaderboard.intervals import bounds, groups, points, ranks

LEAST_FOR_STYLE = 30
"""Votes below which styles and policies are not told apart."""


@dataclass(frozen=True)
class RatingEstimate:
    """In points."""

    rating: float
    low: float
    high: float
    rank: int
    """1 plus the number of those whose interval lies above this one."""


@dataclass(frozen=True)
class RatedPolicy:
    competitor: int
    plain: RatingEstimate
    styled: RatingEstimate | None
    """With the style of the replies held equal; None of too few votes."""
    votes: int
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class ComparedGroup:
    """Competitors that were compared with each other, directly or by way of third ones; the best is first."""

    standings: list[RatedPolicy]
    effects: list[float]
    """Points that one standard deviation more of each feature is worth; empty of too few votes."""


def table(battles: Battles) -> list[ComparedGroup]:
    """Groups with the most votes first. Competitors without a battle are in none."""
    number = groups(battles)
    members = [np.flatnonzero(number == one) for one in range(int(number.max(initial=-1)) + 1)]
    parts = [(each, battles.among(each)) for each in members if len(each) > 1]
    return [_group(each, part) for each, part in sorted(parts, key=lambda one: -len(one[1]))]


def wins(battles: Battles) -> tuple[Floats, Ints]:
    """(competitors, competitors): points that the row took from the column, and the votes between them."""
    size = battles.competitors
    score, count = np.zeros((size, size)), np.zeros((size, size), dtype=np.int64)
    np.add.at(score, (battles.left, battles.right), battles.score)
    np.add.at(score, (battles.right, battles.left), 1 - battles.score)
    np.add.at(count, (battles.left, battles.right), 1)
    np.add.at(count, (battles.right, battles.left), 1)
    return score, count


def course(battles: Battles, months: Ints) -> list[tuple[int, dict[int, float]]]:
    """At the end of each month with votes: the ratings from all votes until then, of the group with the most."""
    found = []
    for month in np.unique(months).tolist():
        until = battles.where(months <= month)
        number = groups(until)
        biggest = np.bincount(number[until.left]).argmax()
        members = np.flatnonzero(number == biggest)
        ratings = points(fit(summed(until.among(members))).ratings)
        found.append((month, dict(zip(members.tolist(), ratings.tolist(), strict=True))))
    return found


def _group(members: Ints, votes: Battles) -> ComparedGroup:
    together = summed(votes)
    plain = _estimates(together, fit(together))
    styled_fit = fit(votes) if len(votes) >= LEAST_FOR_STYLE else None
    styled = _estimates(votes, styled_fit) if styled_fit is not None else [None] * len(members)
    counts = _counts(votes)
    rows = [
        RatedPolicy(int(member), plain[place], styled[place], *counts[place].tolist())
        for place, member in enumerate(members)
    ]
    effects = points(styled_fit.coefficients) - points(np.zeros(1)) if styled_fit is not None else np.zeros(0)
    return ComparedGroup(sorted(rows, key=lambda row: -row.plain.rating), effects.tolist())


def _estimates(battles: Battles, found: RatingFit) -> list[RatingEstimate]:
    low, high = bounds(battles, found)
    columns = (points(found.ratings), low, high, ranks(low, high))
    return [RatingEstimate(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _counts(votes: Battles) -> Ints:
    """(competitors, 4): votes, wins, ties and losses."""
    size = votes.competitors
    won, tied, lost = votes.score == 1, votes.score == 0.5, votes.score == 0

    def count(on_left: Floats, on_right: Floats) -> Ints:
        return np.bincount(votes.left, on_left, size) + np.bincount(votes.right, on_right, size)

    wins_, ties, losses = count(won, lost), count(tied, tied), count(lost, won)
    return np.stack([wins_ + ties + losses, wins_, ties, losses], axis=1).astype(np.int64)
