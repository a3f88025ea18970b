"""Answers blind comparisons that a cycle waits for by a hidden preference, as a simulated annotator."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from accounts.models import User
from chat.completions.bulk import Completed
from feedback import seed
from feedback.judgements import assignments, blind_pairs
from feedback.models import ComparisonRound, Completion, RankingTask, RuleVersion, Violation
from feedback.simulated.cases import Case, SimulationPlan, Tally, cases_of, judge
from feedback.simulated.judgement_rows import flags_of, ranking_of
from feedback.simulated.simulation import NothingToSimulate, annotator_of, rule_versions


def compare(plan: SimulationPlan, limit: int) -> dict[str, Any]:
    """Answers at most `limit` of the pairs that nobody holds and that this annotator has not judged.

    Raises NothingToSimulate, BadFunction, UnknownRule.
    """
    seed.load()
    versions = rule_versions(plan.flags)
    made_of, rng = cases_of(plan), random.Random(plan.seed)
    annotator = annotator_of(plan)
    tasks = _waiting(annotator, limit)
    if not tasks:
        raise NothingToSimulate("no blind comparison waits for an answer")
    sets = [[Completed(reply.text, reply.finish_reason, 0, 0) for reply in task.completions.all()] for task in tasks]
    cases = made_of([task.prompt for task in tasks], sets, [0] * len(tasks))
    tally = Tally(policy="", preference=plan.preference, seed=plan.seed)
    judge(cases, plan, tasks[0].prompt.split, rng, tally)
    answered = sum(_answer(*one, annotator, versions, rng) for one in zip(tasks, cases, strict=True))
    return {"annotator": annotator.username, "simulated": True, "comparisons_answered": answered}


def _waiting(annotator: User, limit: int) -> Sequence[RankingTask]:
    rounds = ComparisonRound.objects.filter(closed_at=None)
    found = [task for asked in rounds for task in blind_pairs.pending(asked).exclude(rankings__annotator=annotator)]
    free = [task.pk for task in found if task.state == RankingTask.State.OPEN]
    rows = RankingTask.objects.filter(pk__in=free[:limit]).order_by("blind_pair__id")
    return list(rows.select_related("prompt").prefetch_related("completions"))


@transaction.atomic
def _answer(
    task: RankingTask, case: Case, annotator: User, versions: Mapping[str, RuleVersion], rng: random.Random
) -> bool:
    """False where somebody took the task meanwhile."""
    free = RankingTask.objects.select_for_update().filter(pk=task.pk, state=RankingTask.State.OPEN).first()
    if free is None:
        return False
    ids = [completion.pk for completion in Completion.objects.filter(task=task).order_by("index")]
    made = ranking_of(task, case, ids, annotator, rng)
    made.save()
    assignments.settle(free)
    Violation.objects.bulk_create(flags_of(made, case, ids, versions))
    return True
