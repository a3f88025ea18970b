"""The leaderboard's figures, computed from the votes that count, and kept for a while where that takes long."""

import time
from dataclasses import dataclass

from base.shared_cache import in_cache
from feedback.leaderboard import standings, votes
from feedback.leaderboard.battles import Floats, Ints
from feedback.leaderboard.standings import ComparedGroup

QUICK_S = 0.2
"""What is computed within this time is never kept: every page is of this moment."""
REUSED = 60
"""Anything else is kept so many times as long as it took, so that computing takes a sixtieth of one core at most."""
LONGEST_S = 600


@dataclass(frozen=True)
class LeaderboardFigures:
    policies: list[int]
    """Ids; standings, wins and courses have their places in this list."""
    groups: list[ComparedGroup]
    wins: Floats
    counts: Ints
    course: list[tuple[int, dict[int, float]]]
    votes: int
    people: int
    languages: list[str]
    """Of all votes of these judges."""


def current(*, simulated: bool, language: str = "") -> LeaderboardFigures:
    name = f"leaderboard:{int(simulated)}:{language}"
    kept: LeaderboardFigures | None = in_cache(lambda cache: cache.get(name))
    if kept is not None:
        return kept
    began = time.monotonic()
    made = compute(simulated=simulated, language=language)
    took = time.monotonic() - began
    if took > QUICK_S:
        in_cache(lambda cache: cache.set(name, made, timeout=min(REUSED * took, LONGEST_S)))
    return made


def compute(*, simulated: bool, language: str = "") -> LeaderboardFigures:
    read = votes.read(simulated=simulated, language=language)
    score, count = standings.wins(read.battles)
    return LeaderboardFigures(
        policies=read.policies,
        groups=standings.table(read.battles),
        wins=score,
        counts=count,
        course=standings.course(read.battles, read.months),
        votes=len(read.battles),
        people=read.people,
        languages=votes.languages(simulated=simulated),
    )
