"""The order of a task's replies that its rankings speak for, by the skill of those who made them."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from feedback.models import AnnotatorTrust, Ranking, RankingTask
from feedback.trust.statistics import noisy_bradley_terry as model

NEAR = 0.1
"""Replies whose scores are nearer than this share a rank: on the scale of log odds, 52 to 48."""


def proposed_ranks(task: RankingTask) -> dict[int, int]:
    """{completion: rank} of the rankings that stand and weigh anything; empty where none orders any."""
    nothing = AnnotatorTrust.objects.filter(weight=0).values("person")
    rows = Ranking.objects.filter(task=task, withdrawn_at=None).exclude(annotator__in=nothing).order_by("pk")
    rankings = [(made.annotator_id, {int(pk): rank for pk, rank in made.ranks.items()}) for made in rows]
    completions = list(task.completions.values_list("pk", flat=True))
    given = _comparisons(rankings, completions)
    if given is None:
        return {}
    scores = model.fit(given, items=len(completions)).scores
    return _ranks_of(dict(zip(completions, scores, strict=True)))


def _comparisons(
    rankings: Sequence[tuple[int, Mapping[int, int]]], completions: Sequence[int]
) -> model.Comparisons | None:
    """All pairs without ties. The sides are those of the list of completions, which is in nobody's order."""
    people = {person: number for number, person in enumerate(dict(rankings))}
    told = [
        (one, other, people[person], ranks[completions[one]] < ranks[completions[other]])
        for person, ranks in rankings
        for one, other in combinations(range(len(completions)), 2)
        if ranks[completions[one]] != ranks[completions[other]]
    ]
    if not told:
        return None
    left, right, person, left_won = (np.array(column) for column in zip(*told, strict=True))
    return model.Comparisons(left, right, person, left_won)


def _ranks_of(scores: Mapping[int, float]) -> dict[int, int]:
    """Dense ranks, the highest score first."""
    ranks: dict[int, int] = {}
    place, before = 0, float("inf")
    for pk in sorted(scores, key=lambda pk: (-scores[pk], pk)):
        if before - scores[pk] > NEAR:
            place += 1
        ranks[pk], before = place, scores[pk]
    return ranks
