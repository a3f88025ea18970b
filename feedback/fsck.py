"""Checks that no acknowledged judgement is lost, doubled or incomplete."""

from collections.abc import Iterator

from django.db.models import Count, Exists, F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from base.fsck import Check
from feedback.models import Assignment, Comparison, Probe, Prompt, Ranking, RankingTask, TaskAnswer, Thumb, Violation


def judgements_are_complete() -> Iterator[str]:
    for ranking in Ranking.objects.prefetch_related("task__completions").iterator(chunk_size=500):
        completions = {str(completion.pk) for completion in ranking.task.completions.all()}
        if set(ranking.ranks) != completions:
            yield f"ranking {ranking.pk} does not rank each completion of its task once"
    doubled = Ranking.objects.values("task", "annotator").annotate(times=Count("pk")).filter(times__gt=1)
    for row in doubled:
        yield f"task {row['task']} was ranked {row['times']} times by user {row['annotator']}"
    unjudged = {"rankings": None, "answers": None, "imported": None, "gold": None}
    for pk in RankingTask.objects.filter(state="done", **unjudged).values_list("pk", flat=True):
        yield f"task {pk} is done, but has no judgement"
    yield from _assigned_too_often()
    for pk in Comparison.objects.filter(pair__revealed_at=None).values_list("pk", flat=True):
        yield f"comparison {pk} exists, but its pair is still blind"


def _assigned_too_often() -> Iterator[str]:
    """More places of a task taken than judgements are missing: two people would do the work of one."""
    taken = Assignment.objects.values("task", "task__overlap").annotate(
        at_work=Count("pk"), judged=_judgements_of_it(Ranking) + _judgements_of_it(TaskAnswer)
    )
    for row in taken.filter(at_work__gt=F("task__overlap") - F("judged")):
        missing = row["task__overlap"] - row["judged"]
        yield f"task {row['task']} is assigned {row['at_work']} times, but lacks {missing} judgements"


def _judgements_of_it(rows: type[Ranking | TaskAnswer]) -> Coalesce:
    """Of the task of an assignment."""
    own = rows.objects.filter(task=OuterRef("task"), withdrawn_at=None, is_adjudication=False)
    return Coalesce(Subquery(own.order_by().values("task").annotate(n=Count("pk")).values("n")), 0)


def adjudications_are_complete() -> Iterator[str]:
    """A task that a lead decided has one decision that stands, and no other task has any."""
    stands = {"is_adjudication": True, "withdrawn_at": None, "task__imported": None}
    rows_decided = RankingTask.objects.filter(lead=RankingTask.Lead.DECIDED, imported=None)
    decided = set(rows_decided.values_list("pk", flat=True))
    made = [
        pk for rows in (Ranking, TaskAnswer) for pk in rows.objects.filter(**stands).values_list("task", flat=True)
    ]
    for pk in sorted(decided.symmetric_difference(made)):
        yield f"task {pk} is decided by a lead without a decision, or has a decision without being decided"
    for pk in sorted({pk for pk in made if made.count(pk) > 1}):
        yield f"task {pk} has more than one decision of a lead"


def temporary_conversations_are_not_judged() -> Iterator[str]:
    """Reports excepted: those are for moderators."""
    thumbs = Thumb.objects.filter(message__conversation__expires_at__isnull=False)
    prompts = Prompt.objects.filter(message__conversation__expires_at__isnull=False)
    for pk in thumbs.values_list("pk", flat=True):
        yield f"thumb {pk} is on a reply of a temporary conversation"
    for pk in prompts.values_list("pk", flat=True):
        yield f"prompt {pk} was made from a temporary conversation"


def probes_are_whole() -> Iterator[str]:
    """Whoever probed judges nothing of it, and what was handed over has its grade."""
    own = Ranking.objects.filter(task__probe__prober=F("annotator"))
    for pk in own.values_list("pk", flat=True):
        yield f"ranking {pk} is of a probe by the same person"
    graded = Violation.objects.filter(completion__task=OuterRef("task"), annotator=OuterRef("prober"))
    handed_over = Probe.objects.filter(state=Probe.State.HANDED_OVER, is_benign=False, task__isnull=False)
    for pk in handed_over.filter(~Exists(graded)).values_list("pk", flat=True):
        yield f"probe {pk} was handed over without the grade of who probed"


CHECKS: tuple[Check, ...] = (
    (1, judgements_are_complete),
    (1, adjudications_are_complete),
    (12, temporary_conversations_are_not_judged),
    (1, probes_are_whole),
)
