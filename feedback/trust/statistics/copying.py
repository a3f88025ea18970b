"""Finds people who give the same answers far more often than their accuracy explains: copies of one another."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb, log

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
COPIES_AGREE = 0.98
"""How often copies agree: now and then one of them slips."""
FALSE_ALARMS = 0.001
"""The share of sites without copies on which some group is suspected."""
SHARED_LEAST = 20
"""Answers to the same questions that a group has to have given, over all its pairs."""
AGREE_LEAST = 0.9
EXCESS_LEAST = 0.1


@dataclass(frozen=True)
class CopyGroup:
    """People who seem to be copies."""

    people: tuple[int, ...]
    agreement: float
    """Share of their answers to the same questions that are alike, over all pairs of them."""
    expected: float
    """That share if each of them answered alone."""
    shared: float


@dataclass(frozen=True)
class PairTable:
    """(people, people), symmetric: weight of answers to the same questions, of those alike, and of those expected."""

    shared: Floats
    alike: Floats
    expected: Floats

    def evidence(self) -> Floats:
        """Log likelihood ratio of copying to answering alone, of each pair."""
        expected = np.clip(self.expected / np.maximum(self.shared, 1e-9), 0.5, 0.97)
        differing = self.shared - self.alike
        return np.asarray(
            self.alike * np.log(COPIES_AGREE / expected) + differing * np.log((1 - COPIES_AGREE) / (1 - expected))
        )


def groups(
    item: Integers, person: Integers, answer: NDArray[np.bool_], weight: Floats, accuracy: Floats
) -> list[CopyGroup]:
    """Groups whose evidence outweighs the number of groups of their size that one might have looked at.

    All (answers,) but `accuracy` (people,), each person's share of right answers. Two people who answer alone agree
    where both are right or both wrong; questions that are easy for all raise their accuracy, and so what is expected.
    Answers are about replies whose order on the page was drawn anew for each person, so that a habit of one
    side makes nobody agree.
    """
    table = _table(item, person, answer, weight, accuracy)
    evidence = table.evidence()
    left = set(range(len(accuracy)))
    found = []
    while (members := _grow(evidence, left)) is not None:
        group = _group(members, table)
        if group is not None and _weighs_enough(evidence, members, len(accuracy)):
            found.append(group)
        left -= set(members)
    return found


def _table(
    item: Integers, person: Integers, answer: NDArray[np.bool_], weight: Floats, accuracy: Floats
) -> PairTable:
    people = len(accuracy)
    shared, alike, expected = (np.zeros((people, people)) for _ in range(3))
    order = np.argsort(item, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(item[order]) != 0])
    for rows in np.split(order, starts[1:]):
        who, said = person[rows], answer[rows]
        cells = np.ix_(who, who)
        right = np.outer(accuracy[who], accuracy[who]) + np.outer(1 - accuracy[who], 1 - accuracy[who])
        shared[cells] += weight[rows[0]]
        alike[cells] += weight[rows[0]] * (said[:, None] == said[None, :])
        expected[cells] += weight[rows[0]] * right
    for table in (shared, alike, expected):
        np.fill_diagonal(table, 0)
    return PairTable(shared, alike, expected)


def _grow(evidence: Floats, left: set[int]) -> tuple[int, ...] | None:
    """The pair with the most evidence, and then whoever adds most to it, while they add any."""
    pairs = [(evidence[one, other], one, other) for one, other in combinations(sorted(left), 2)]
    if not pairs or max(pairs)[0] <= 0:
        return None
    _best, *members = max(pairs)
    while rest := left - set(members):
        gain, person = max((evidence[one, members].sum(), one) for one in rest)
        if gain <= 0:
            break
        members.append(person)
    return tuple(sorted(members))


def _weighs_enough(evidence: Floats, members: tuple[int, ...], people: int) -> bool:
    total = sum(evidence[one, other] for one, other in combinations(members, 2))
    return bool(total > log(comb(people, len(members))) - log(FALSE_ALARMS))


def _group(members: tuple[int, ...], table: PairTable) -> CopyGroup | None:
    """None where they share too few answers, or agree no more than people who answer alone might."""
    shared, alike, expected = (sum(_cells(values, members)) for values in (table.shared, table.alike, table.expected))
    if shared < SHARED_LEAST:
        return None
    group = CopyGroup(members, alike / shared, expected / shared, shared)
    is_close = group.agreement >= AGREE_LEAST and group.agreement - group.expected >= EXCESS_LEAST
    return group if is_close else None


def _cells(values: Floats, members: tuple[int, ...]) -> Iterator[float]:
    for one, other in combinations(members, 2):
        yield float(values[one, other])
