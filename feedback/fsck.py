"""Checks that no acknowledged judgement is lost, doubled or incomplete."""

from collections.abc import Iterator

from django.db.models import Count

from base.fsck import Check
from feedback.models import Comparison, Prompt, Ranking, RankingTask, Thumb


def judgements_are_complete() -> Iterator[str]:
    for ranking in Ranking.objects.prefetch_related("task__completions").iterator(chunk_size=500):
        completions = {str(completion.pk) for completion in ranking.task.completions.all()}
        if set(ranking.ranks) != completions:
            yield f"ranking {ranking.pk} does not rank each completion of its task once"
    doubled = Ranking.objects.values("task", "annotator").annotate(times=Count("pk")).filter(times__gt=1)
    for row in doubled:
        yield f"task {row['task']} was ranked {row['times']} times by user {row['annotator']}"
    for pk in RankingTask.objects.filter(state="done", rankings=None).values_list("pk", flat=True):
        yield f"task {pk} is done, but has no ranking"
    for pk in Comparison.objects.filter(pair__revealed_at=None).values_list("pk", flat=True):
        yield f"comparison {pk} exists, but its pair is still blind"


def temporary_conversations_are_not_judged() -> Iterator[str]:
    """Reports excepted: those are for moderators."""
    thumbs = Thumb.objects.filter(message__conversation__expires_at__isnull=False)
    prompts = Prompt.objects.filter(message__conversation__expires_at__isnull=False)
    for pk in thumbs.values_list("pk", flat=True):
        yield f"thumb {pk} is on a reply of a temporary conversation"
    for pk in prompts.values_list("pk", flat=True):
        yield f"prompt {pk} was made from a temporary conversation"


CHECKS: tuple[Check, ...] = ((1, judgements_are_complete), (12, temporary_conversations_are_not_judged))
