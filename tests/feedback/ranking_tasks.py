"""Ranking tasks for tests to judge."""

from datetime import timedelta

from django.utils import timezone

from feedback.judgements import task_queue
from feedback.judgements.judgement import Judgement
from feedback.models import Completion, Prompt, RankingTask
from feedback.prompts import digest


def make_task(policy, text="What is a rainbow?", state="open", replies=4, **prompt):
    messages = [{"role": "user", "content": text}]
    row, _ = Prompt.objects.get_or_create(sha256=digest(messages), defaults={"messages": messages, **prompt})
    task = RankingTask.objects.create(prompt=row, policy=policy, state=state)
    Completion.objects.bulk_create(
        Completion(task=task, index=index, text=f"Reply number {index}.", finish_reason="stop")
        for index in range(replies)
    )
    return task


def take_task(annotator, now=None):
    """The task that the annotator gets next; None if there is none."""
    own = task_queue.next_assignment(annotator, now=now)
    return own and own.task


def in_order(task):
    """A judgement that ranks the completions as they were written."""
    return Judgement([(pk, place) for place, pk in enumerate(task.completions.values_list("pk", flat=True), start=1)])


def later(**delta):
    return timezone.now() + timedelta(**delta)
