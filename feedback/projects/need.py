"""How much a judgement of a task would teach: by rules with few labels, and by policies whose order is uncertain.

Computed now and then for the tasks that wait (feedback.tasks.order_tasks), and read by the queue, which gives out the
neediest first (feedback.projects.offers). A share of tasks is drawn by lot all the same, so that what is measured on
those is not biased by what need means.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from django.db.models import Count, QuerySet

from feedback import trainable
from feedback.judgements import assignments
from feedback.leaderboard import figures
from feedback.leaderboard.standings import ComparedGroup, RatingEstimate
from feedback.models import RankingTask

LOOKED_AT = 5000
"""Tasks at a time, those that have waited longest."""
ENOUGH_LABELS = 200
"""Of a rule, from which on a further label is not needed more than any other judgement."""
WIDE_POINTS = 400.0
"""An interval of a rating as wide as this is as uncertain as can be."""
DIGITS = 1
"""To which need is rounded: tasks that are about as needed go by what was judged least."""


def update() -> int:
    """Stores the need of the tasks that wait, with as many queries for any number of rules and policies. Returns how
    many changed."""
    labels, policies = _labels(), _uncertain_policies()
    changed: dict[float, list[int]] = defaultdict(list)
    columns = ("pk", "need", "policy", "prompt__elicits", "project__rule")
    for pk, before, policy, elicits, rule in _waiting().values_list(*columns):
        now = need([elicits, rule], policy, labels, policies)
        if now != before:
            changed[now].append(pk)
    for now, ids in changed.items():
        RankingTask.objects.filter(pk__in=ids).update(need=now)
    return sum(map(len, changed.values()))


def need(
    rules: Iterable[int | None], policy: int | None, labels: Mapping[int, int], policies: Mapping[int, float]
) -> float:
    """0 to 1: the strongest of the reasons. `rules`: that the task asks about; `labels`: how many each rule has;
    `policies`: how uncertain the place of each is."""
    of_rules = [1 - min(labels.get(rule, 0), ENOUGH_LABELS) / ENOUGH_LABELS for rule in rules if rule is not None]
    of_policy = policies.get(policy, 0.0) if policy is not None else 0.0
    return round(max([*of_rules, of_policy]), DIGITS)


def _waiting() -> QuerySet[RankingTask]:
    ids = RankingTask.objects.filter(state__in=assignments.UNFINISHED, blind_pair=None).order_by("pk")
    return RankingTask.objects.filter(pk__in=list(ids.values_list("pk", flat=True)[:LOOKED_AT]))


def _labels() -> dict[int, int]:
    """By rule, the answers that may train, whichever they are."""
    rows = trainable.violations().order_by().values_list("rule_version__rule").annotate(n=Count("pk"))
    return dict(rows)


def _uncertain_policies() -> dict[int, float]:
    """By policy, from people's votes: the width of its interval, where that overlaps with another one's."""
    found = figures.current(simulated=False)
    return {
        found.policies[competitor]: width
        for group in found.groups
        for competitor, width in uncertainty(group).items()
    }


def uncertainty(group: ComparedGroup) -> dict[int, float]:
    """0 to 1 of each competitor; 0 where it is clear between which two it stands."""
    rated = {row.competitor: row.plain for row in group.standings}
    return {
        one: min(1.0, (rating.high - rating.low) / WIDE_POINTS)
        if any(_overlap(rating, rated[other]) for other in rated if other != one)
        else 0.0
        for one, rating in rated.items()
    }


def _overlap(one: RatingEstimate, other: RatingEstimate) -> bool:
    return one.low <= other.high and other.low <= one.high
