"""Agreement of the people who judge a project, on the order of replies and on each rule, as it is stored."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from statistics import mean
from typing import TypeVar

import numpy as np

from feedback.models import AgreementFigure, Completion, Rule
from feedback.trust.judgement_rows import FlagRow, StoredRanking
from feedback.trust.statistics import agreement
from feedback.trust.statistics.rank_agreement import tau_b

Row = TypeVar("Row", StoredRanking, FlagRow)
ORDERS = np.array([-1.0, 0.0, 1.0])
"""Of two replies: the first is worse, neither, better."""
ANSWERS = np.array([0.0, 1.0])


def compute(rows: Sequence[StoredRanking], flags: Sequence[FlagRow]) -> list[AgreementFigure]:
    """Of each project and rule in which two people judged the same."""
    rules = dict(Rule.objects.values_list("key", "pk"))
    made = [_of_orders(project, of) for project, of in _by_project(rows).items()]
    for project, told in _by_project(flags).items():
        by_rule: dict[str, list[FlagRow]] = defaultdict(list)
        for flag in told:
            by_rule[flag.rule].append(flag)
        made += [_of_rule(project, rules[key], of) for key, of in by_rule.items()]
    return [figure for figure in made if figure is not None]


def store(figures: Sequence[AgreementFigure]) -> None:
    """Replaces all that is stored."""
    AgreementFigure.objects.all().delete()
    AgreementFigure.objects.bulk_create(figures)


def _by_project(rows: Sequence[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.project].append(row)
    return found


def _of_orders(project: int, rows: Sequence[StoredRanking]) -> AgreementFigure | None:
    """Each pair of replies is a unit; the pairs of one task are drawn together."""
    units: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        for one, other in combinations(sorted(row.ranks), 2):
            units[row.task, one, other][1 + int(np.sign(row.ranks[other] - row.ranks[one]))] += 1
    shared = {unit: counts for unit, counts in units.items() if sum(counts) > 1}
    if not shared:
        return None
    counts, tasks = np.array(list(shared.values()), dtype=np.float64), np.array([unit[0] for unit in shared])
    taus = [tau for tau in _taus(rows) if tau is not None]
    return AgreementFigure(
        project_id=project,
        people=len({row.person for row in rows}),
        units=len(shared),
        tau=mean(taus) if taus else None,
        **_alpha(agreement.alpha_interval(counts, ORDERS, tasks, "interval")),
    )


def _taus(rows: Sequence[StoredRanking]) -> list[float | None]:
    by_task: dict[int, list[StoredRanking]] = defaultdict(list)
    for row in rows:
        by_task[row.task].append(row)
    return [
        tau_b([one.ranks[pk] for pk in sorted(one.ranks)], [other.ranks.get(pk, 0) for pk in sorted(one.ranks)])
        for of_task in by_task.values()
        for one, other in combinations(of_task, 2)
    ]


def _of_rule(project: int, rule: int, flags: Sequence[FlagRow]) -> AgreementFigure | None:
    units: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for flag in flags:
        units[flag.completion][int(flag.is_violation)] += 1
    shared = {completion: counts for completion, counts in units.items() if sum(counts) > 1}
    if not shared:
        return None
    task_of = dict(Completion.objects.filter(pk__in=shared).values_list("pk", "task"))
    counts = np.array(list(shared.values()), dtype=np.float64)
    tasks = np.array([task_of[completion] for completion in shared])
    yes, asked = counts[:, 1], counts.sum(axis=1)
    return AgreementFigure(
        project_id=project,
        rule_id=rule,
        people=len({flag.person for flag in flags}),
        units=len(shared),
        prevalence=agreement.prevalence(yes, asked),
        positive_agreement=agreement.positive_agreement(yes, asked),
        **_alpha(agreement.alpha_interval(counts, ANSWERS, tasks)),
    )


def _alpha(found: agreement.AlphaInterval | None) -> dict[str, float | None]:
    if found is None:
        return {"alpha": None, "low": None, "high": None}
    return {"alpha": found.value, "low": found.low, "high": found.high}
