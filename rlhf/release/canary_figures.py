"""What people in a canary's chats say: each person counts once, by their choices in the first hours after the first.

Choices of one person resemble each other, so that a person and not a choice is one value: the mean of what they chose
from their first choice on, for as many hours as the canary has as its limit. The value and the moment at which it is
known are then fixed before anybody knows it: nobody is counted sooner because they choose faster, or for longer
because they are undecided, and the order of people is that of their first choices. If people are independent of each
other, the values meet what rlhf.release.bets asks for, whatever the choices of one person have to do with each other.
Whoever is in the middle of their hours does not count yet; at the canary's end everybody's hours are over.

Flags are counted in the same way, from a person's first reply by the candidate on: the share of its replies that they
flagged, less that of the live policy's, to the same person. People who got replies by one of the two alone tell
nothing. A flag counts whatever a moderator says of it later, on both sides alike.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chat.models import Reply
from feedback import trainable
from feedback.models import Comparison, Violation
from rlhf.models import Canary
from rlhf.release import bets

HALF = 0.5
MOST_POINTS = 40
Choice = Comparison.Choice


@dataclass(frozen=True)
class PersonValue:
    """One person's value, from 0 to 1, once their hours are over."""

    value: float
    n: int
    """Choices, or replies of both policies, that it is made of."""


def of(canary: Canary, now: datetime) -> dict[str, Any]:
    """What Canary.figures holds."""
    chosen, waiting = choices(canary, now)
    flagged = flags(canary, now)
    values, rises = [one.value for one in chosen], [one.value for one in flagged]
    level = canary.limits["level"]
    return {
        "people": len(chosen),
        "choices": sum(one.n for one in chosen),
        "waiting": waiting,
        "win_rate": _mean(values),
        "low": bets.lower_bound(values, level),
        "high": bets.upper_bound(values, level),
        "better": bets.evidence_above(values, HALF),
        "worse": bets.evidence_below(values, HALF),
        "flags": {
            "people": len(rises),
            "rise": None if not rises else 2 * sum(rises) / len(rises) - 1,
            "evidence": bets.evidence_above(rises, HALF),
        },
        "course": _course(values, level),
    }


def _course(values: Sequence[float], level: float) -> list[tuple[int, float, float, float]]:
    """(people, mean, lower bound, upper bound) as they were after each person; of many, evenly, the last too."""
    count = min(len(values), MOST_POINTS)
    ends = sorted({round((index + 1) * len(values) / count) for index in range(count)})
    return [
        (end, sum(values[:end]) / end, bets.lower_bound(values[:end], level), bets.upper_bound(values[:end], level))
        for end in ends
    ]


def choices(canary: Canary, now: datetime) -> tuple[list[PersonValue], int]:
    """Values of people in the order of their first choices, and how many people's hours are not over."""
    of_person: dict[int, list[tuple[datetime, float]]] = defaultdict(list)
    candidate = canary.policy_id
    for row in _choices_of(canary):
        won = Choice.LEFT if row.pair.left.policy_id == candidate else Choice.RIGHT
        tied = row.choice in (Choice.TIE, Choice.BOTH_BAD)
        of_person[row.annotator_id].append((row.created_at, HALF if tied else float(row.choice == won)))
    people = sorted(of_person.values(), key=lambda rows: rows[0][0])
    over = [rows for rows in people if _is_over(canary, rows[0][0], now)]
    return [_value(canary, rows) for rows in over], len(people) - len(over)


def _choices_of(canary: Canary) -> Iterable[Comparison]:
    """Blind choices between the two policies since the canary began, in chats that may train."""
    both = [canary.policy_id, canary.baseline.pk]
    rows = Comparison.objects.filter(
        ~trainable.suspended(),
        created_at__gte=canary.started_at,
        created_at__lt=canary.until,
        discounted="",
        withdrawn_at=None,
        pair__left__policy__in=both,
        pair__right__policy__in=both,
        pair__message__conversation__may_train=True,
        pair__message__conversation__deleted_at=None,
        pair__message__conversation__owner__deletion_due_at=None,
    )
    if not canary.counts_simulated:
        rows = rows.filter(is_simulated=False)
    rows = rows.select_related("pair__left", "pair__right").order_by("created_at", "pk")
    return [row for row in rows if row.pair.left.policy_id != row.pair.right.policy_id]


def flags(canary: Canary, now: datetime) -> list[PersonValue]:
    """(1 + rise) / 2 of each person, in the order of the candidate's first replies to them."""
    flagged = _flagged(canary)
    found = []
    for rows in _replies_to_people(canary):
        first = next((at for at, _message, is_candidates in rows if is_candidates), None)
        if first is None or not _is_over(canary, first, now):
            continue
        ends = _ends(canary, first)
        shares: dict[bool, list[bool]] = {True: [], False: []}
        for at, message, is_candidates in rows:
            if first <= at < ends:
                shares[is_candidates].append(message in flagged and flagged[message] < ends)
        if shares[True] and shares[False]:
            rise = sum(shares[True]) / len(shares[True]) - sum(shares[False]) / len(shares[False])
            found.append((first, PersonValue((1 + rise) / 2, len(shares[True]) + len(shares[False]))))
    return [value for _first, value in sorted(found, key=lambda one: one[0])]


def _replies_to_people(canary: Canary) -> Iterable[list[tuple[datetime, int, bool]]]:
    """Of each person the replies of both policies in chats that may train: (ended, message, is the candidate's)."""
    rows = Reply.objects.filter(
        state__in=(Reply.State.COMPLETE, Reply.State.STOPPED),
        ended_at__gte=canary.started_at,
        policy__in=[canary.policy_id, canary.baseline.pk],
        message__conversation__may_train=True,
        message__conversation__deleted_at=None,
    )
    if not canary.counts_simulated:
        rows = rows.filter(message__conversation__owner__is_simulated=False)
    of_person: dict[int, list[tuple[datetime, int, bool]]] = defaultdict(list)
    names = ("message__conversation__owner", "ended_at", "message", "policy")
    for owner, ended, message, policy in rows.order_by("ended_at", "pk").values_list(*names):
        of_person[owner].append((ended, message, policy == canary.policy_id))
    return of_person.values()


def _flagged(canary: Canary) -> dict[int, datetime]:
    """When each flagged reply was first flagged since the canary began."""
    rows = Violation.objects.filter(
        ~trainable.suspended(),
        message__reply__policy__in=[canary.policy_id, canary.baseline.pk],
        is_violation=True,
        created_at__gte=canary.started_at,
    )
    return dict(rows.order_by("-created_at").values_list("message", "created_at"))


def _ends(canary: Canary, first: datetime) -> datetime:
    return min(first + timedelta(hours=canary.limits["hours"]), canary.until)


def _is_over(canary: Canary, first: datetime, now: datetime) -> bool:
    return now >= _ends(canary, first)


def _value(canary: Canary, rows: Sequence[tuple[datetime, float]]) -> PersonValue:
    ends = _ends(canary, rows[0][0])
    won = [one for at, one in rows if at < ends]
    return PersonValue(sum(won) / len(won), len(won))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
