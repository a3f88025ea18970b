"""Measures each person by all judgements that stand: agreement, accuracy, habits, and copies of one another."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import mean

import numpy as np

from feedback.trust import habits, judgement_rows, weighing
from feedback.trust.figures import RuleFigures
from feedback.trust.habits import Flagging, HabitFinding, JudgedRanking
from feedback.trust.judgement_rows import FlagRow, Pairs, StoredRanking
from feedback.trust.statistics import copying, dawid_skene
from feedback.trust.statistics.rank_agreement import tau_b

PEOPLE_LEAST = 3
"""Of two people who differ, nobody can say which one is right."""
TAUS_OF_ONE = 2000
"""As many of a person's agreements with others as their mean is made of: more would not change it."""


@dataclass
class Measured:
    """What is known of one person, before tasks with known answers and moderators have their say."""

    judgements: int = 0
    own: list[JudgedRanking] = field(default_factory=list)
    shared: float = 0.0
    accuracy: float | None = None
    tau: float | None = None
    rules: dict[str, RuleFigures] = field(default_factory=dict)
    asked: int = 0
    flagged: int = 0
    findings: list[HabitFinding] = field(default_factory=list)
    copies: list[int] = field(default_factory=list)


def measure(rows: Sequence[StoredRanking], flags: Sequence[FlagRow]) -> dict[int, Measured]:
    """By person."""
    found: dict[int, Measured] = defaultdict(Measured)
    _read(rows, flags, found)
    _add_accuracy(judgement_rows.pairs(rows), found)
    _add_taus(rows, found)
    _add_rules(flags, found)
    _add_habits(found)
    for person, flagging in _flaggings(flags).items():
        _note(found[person], habits.flagging(flagging))
    return found


def _read(rows: Sequence[StoredRanking], flags: Sequence[FlagRow], found: dict[int, Measured]) -> None:
    lengths = judgement_rows.texts({row.task for row in rows})
    for row in rows:
        found[row.person].own.append(judgement_rows.judged(row, lengths))
    for person, choice in judgement_rows.choices():
        found[person].own.append(choice)
    for measured in found.values():
        measured.judgements = len(measured.own)
    for flag in flags:
        found[flag.person].asked += 1
        found[flag.person].flagged += flag.is_violation


def _note(of: Measured, finding: HabitFinding | None) -> None:
    if finding is not None:
        of.findings.append(finding)


# --- by agreement with others ---------------------------------------------------------------------


def _add_accuracy(pairs: Pairs | None, found: Mapping[int, Measured]) -> None:
    if pairs is None:
        return
    fit = dawid_skene.fit(pairs.item, pairs.person, pairs.answer, known=pairs.known, one_coin=True)
    shared = np.bincount(pairs.person, pairs.weight)
    if len(pairs.people) >= PEOPLE_LEAST or pairs.is_gold.all():
        for number, person in enumerate(pairs.people):
            found[person].shared, found[person].accuracy = float(shared[number]), float(fit.accuracy[number])
            _note(found[person], _low_accuracy(found[person]))
    _add_copies(pairs, fit.accuracy, found)


def _low_accuracy(of: Measured) -> HabitFinding | None:
    if of.accuracy is None or of.shared < weighing.SHARED_FOR_FINDING or of.accuracy >= weighing.ACCURACY_FLOOR:
        return None
    return HabitFinding("accuracy", of.accuracy, weighing.ACCURACY_FLOOR, round(of.shared))


def _add_copies(pairs: Pairs, accuracy: np.ndarray, found: Mapping[int, Measured]) -> None:
    """On tasks whose answer is not known: there everybody who is right agrees."""
    rest = ~pairs.is_gold
    if not rest.any():
        return
    arrays = (pairs.item[rest], pairs.person[rest], pairs.answer[rest], pairs.weight[rest])
    for group in copying.groups(*arrays, accuracy):
        for number in group.people:
            of = found[pairs.people[number]]
            of.copies = [pairs.people[other] for other in group.people if other != number]
            of.findings.append(HabitFinding("copying", group.agreement, group.expected, round(group.shared)))


def _add_taus(rows: Sequence[StoredRanking], found: Mapping[int, Measured]) -> None:
    taus: dict[int, list[float]] = defaultdict(list)
    for one, other in _of_one_task(rows):
        if min(len(taus[one.person]), len(taus[other.person])) < TAUS_OF_ONE:
            order = sorted(one.ranks)
            tau = tau_b([one.ranks[pk] for pk in order], [other.ranks.get(pk, 0) for pk in order])
            if tau is not None:
                taus[one.person].append(tau)
                taus[other.person].append(tau)
    for person, told in taus.items():
        found[person].tau = mean(told) if told else None


def _of_one_task(rows: Sequence[StoredRanking]) -> Iterable[tuple[StoredRanking, StoredRanking]]:
    by_task: dict[int, list[StoredRanking]] = defaultdict(list)
    for row in rows:
        by_task[row.task].append(row)
    return (pair for of_task in by_task.values() for pair in combinations(of_task, 2))


# --- by flags -------------------------------------------------------------------------------------


def _add_rules(flags: Sequence[FlagRow], found: Mapping[int, Measured]) -> None:
    by_rule: dict[str, list[FlagRow]] = defaultdict(list)
    for flag in flags:
        by_rule[flag.rule].append(flag)
    for rule, of_rule in by_rule.items():
        for person, figures in _rule_figures(of_rule).items():
            found[person].rules[rule] = figures


def _rule_figures(flags: Sequence[FlagRow]) -> dict[int, RuleFigures]:
    """Of each person who judged replies by a rule that others judged, too; nothing where two people did in all."""
    people_of: dict[int, int] = defaultdict(int)
    for flag in flags:
        people_of[flag.completion] += 1
    told = [flag for flag in flags if people_of[flag.completion] > 1]
    people = sorted({flag.person for flag in told})
    if len(people) < PEOPLE_LEAST:
        return {}
    item = np.unique([flag.completion for flag in told], return_inverse=True)[1]
    person = np.searchsorted(people, [flag.person for flag in told])
    fit = dawid_skene.fit(item, person, np.array([flag.is_violation for flag in told]))
    counts = np.bincount(person)
    return {
        who: RuleFigures(int(counts[number]), float(fit.sensitivity[number]), float(fit.specificity[number]))
        for number, who in enumerate(people)
    }


def _flaggings(flags: Sequence[FlagRow]) -> dict[int, Flagging]:
    """Of rules under which a person looked at several replies of a task: a flag alone says nothing of the others."""
    by_text: dict[tuple[int, str], list[FlagRow]] = defaultdict(list)
    for flag in flags:
        by_text[flag.completion, flag.rule].append(flag)
    of_person: dict[int, list[tuple[FlagRow, list[FlagRow]]]] = defaultdict(list)
    for of_text in by_text.values():
        for flag in of_text:
            of_person[flag.person].append((flag, [other for other in of_text if other is not flag]))
    return {person: _flagging(told) for person, told in of_person.items()}


def _flagging(told: Sequence[tuple[FlagRow, list[FlagRow]]]) -> Flagging:
    shared = [(flag, others) for flag, others in told if others]
    return Flagging(
        flagged=sum(flag.is_violation for flag, _others in told),
        asked=len(told),
        rules=len({flag.rule for flag, _others in told}),
        shared=len(shared),
        flagged_shared=mean(flag.is_violation for flag, _others in shared) if shared else 0.0,
        flagged_by_others=mean(mean(o.is_violation for o in others) for _flag, others in shared) if shared else 0.0,
    )


# --- by habits ------------------------------------------------------------------------------------


def _add_habits(found: Mapping[int, Measured]) -> None:
    chose_longest: dict[int, list[tuple[int, bool]]] = defaultdict(list)
    for person, measured in found.items():
        for judged in measured.own:
            if judged.chosen is not None and judged.longest is not None:
                chose_longest[judged.task].append((person, judged.chosen == judged.longest))
    for person, measured in found.items():
        told = {judged.task: chose_longest[judged.task] for judged in measured.own if judged.task in chose_longest}
        others = {task: [chose for who, chose in answers if who != person] for task, answers in told.items()}
        usual = {task: mean(answers) for task, answers in others.items() if answers}
        measured.findings.extend(habits.of_rankings(measured.own, usual))
