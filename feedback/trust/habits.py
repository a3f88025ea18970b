"""Habits of whoever does not look at what they judge: one place, one length, too fast, everything flagged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

POSITION_SHARE = 0.8
POSITION_LEAST = 30
"""Always left: more than 80 % over 30 (reference: reliability, 3c)."""
SECONDS_LEAST = 3.0
"""A median time below is a random clicker's (reference: reliability, 3c)."""
CHARACTERS_A_SECOND = 90.0
"""Four times the silent reading of adults, 238 words of English a minute: Brysbaert, How many words do we read per
minute? (2019). Whoever is faster has not read."""
DENSE = 2.5
"""Latin letters that one character of Korean, Chinese or Japanese stands for, at the least: of the languages in
Trauzettel-Klosinski and Dietz, Standardized Assessment of Reading Performance (2012), Japanese is read at 36 % of the
characters a minute of English."""
SPEED_LEAST = 15
LENGTH_SHARE = 0.85
LENGTH_LEAST = 30
LENGTH_EXCESS = 0.2
"""Above what others chose on the same tasks: sometimes the longest reply is the best."""
FLAG_SHARE = 0.9
FLAG_LEAST = 40
FLAG_EXCESS = 0.4


@dataclass(frozen=True)
class HabitFinding:
    """A habit above its threshold."""

    kind: str
    figure: float
    threshold: float
    count: int
    """Judgements that the figure is made of."""


@dataclass(frozen=True)
class JudgedRanking:
    """One ranking as the page showed it."""

    task: int
    ranks: Sequence[int]
    """In the order shown; 1 is best."""
    lengths: Sequence[int]
    """Characters of each reply, in the order shown."""
    seconds: float
    """0 where nobody measured."""
    is_ordered: bool
    """Whether the order shown is known."""
    reading: float
    """Latin letters that the prompt and all replies are worth."""

    @property
    def chosen(self) -> int | None:
        """The place of the one reply that is better than all others."""
        return self.ranks.index(1) if self.ranks.count(1) == 1 and len(self.ranks) > 1 else None

    @property
    def longest(self) -> int | None:
        longest = max(self.lengths, default=0)
        return self.lengths.index(longest) if self.lengths.count(longest) == 1 and len(self.lengths) > 1 else None


@dataclass(frozen=True)
class Flagging:
    """How often somebody flagged what they were asked about."""

    flagged: int
    asked: int
    rules: int
    shared: int
    """Texts and rules that others were asked about, too."""
    flagged_shared: float
    """Share of these that the person flagged, and that the others did."""
    flagged_by_others: float


def of_rankings(own: Sequence[JudgedRanking], longest_of_others: Mapping[int, float]) -> Iterable[HabitFinding]:
    """`longest_of_others`: by task, the share of the others who chose the longest reply of it."""
    found = (position(own), _seconds(own), _speed(own), _length(own, longest_of_others))
    return [finding for finding in found if finding is not None]


def position_share(own: Sequence[JudgedRanking]) -> tuple[float, int]:
    """The share of choices that fall on the place which is chosen most, and how many choices there are."""
    chosen = [judged.chosen for judged in own if judged.is_ordered and judged.chosen is not None]
    return (max(chosen.count(place) for place in set(chosen)) / len(chosen), len(chosen)) if chosen else (0.0, 0)


def position(own: Sequence[JudgedRanking]) -> HabitFinding | None:
    share, count = position_share(own)
    return _above("position", share, POSITION_SHARE, count, POSITION_LEAST)


def median_seconds(own: Sequence[JudgedRanking]) -> float | None:
    timed = [judged.seconds for judged in own if judged.seconds > 0]
    return median(timed) if timed else None


def _seconds(own: Sequence[JudgedRanking]) -> HabitFinding | None:
    typical, count = median_seconds(own), sum(judged.seconds > 0 for judged in own)
    if typical is None or count < SPEED_LEAST or typical >= SECONDS_LEAST:
        return None
    return HabitFinding("seconds", typical, SECONDS_LEAST, count)


def _speed(own: Sequence[JudgedRanking]) -> HabitFinding | None:
    speeds = [judged.reading / judged.seconds for judged in own if judged.seconds > 0]
    return _above("speed", median(speeds), CHARACTERS_A_SECOND, len(speeds), SPEED_LEAST) if speeds else None


def _length(own: Sequence[JudgedRanking], of_others: Mapping[int, float]) -> HabitFinding | None:
    chosen = {judged.task: judged.chosen == judged.longest for judged in own if judged.chosen is not None}
    told = {judged.task for judged in own if judged.longest is not None} & chosen.keys()
    share = mean(chosen[task] for task in told) if told else 0.0
    shared = sorted(told & of_others.keys())
    usual = mean(of_others[task] for task in shared) if shared else 0.0
    if share - usual < LENGTH_EXCESS:
        return None
    return _above("length", share, LENGTH_SHARE, len(told), LENGTH_LEAST)


def flagging(own: Flagging) -> HabitFinding | None:
    """Of several rules, or more than the others flagged of the same."""
    is_alone = own.shared < FLAG_LEAST / 2
    if is_alone and own.rules < 3:
        return None
    if not is_alone and own.flagged_shared - own.flagged_by_others < FLAG_EXCESS:
        return None
    return _above("flagging", own.flagged / own.asked if own.asked else 0.0, FLAG_SHARE, own.asked, FLAG_LEAST)


def _above(kind: str, figure: float, threshold: float, count: int, least: int) -> HabitFinding | None:
    return HabitFinding(kind, figure, threshold, count) if count >= least and figure > threshold else None
