"""A reply that its reader reported, and a completion that an annotator flagged."""

import pytest

from feedback.judgements import task_queue
from feedback.judgements.task_queue import Judgement
from feedback.models import Rule
from feedback.moderation import reports
from tests.feedback.conversation_rows import talk
from tests.feedback.ranking_tasks import make_task, take_task


@pytest.fixture
def carl(person):
    return person("carl")


@pytest.fixture
def reply(carl, policy, seeds):
    """A reply in carl's conversation that carl reported."""
    message = talk(carl, "Say something", "Something rude.", policy=policy)[1]
    reports.report_message(carl, message, Rule.objects.get(key="no-insults").versions.first(), "rude")
    return message


@pytest.fixture
def completion(policy, annotator, seeds):
    """A completion that an annotator flagged."""
    task = make_task(policy)
    take_task(annotator)
    ids = list(task.completions.values_list("pk", flat=True))
    version = Rule.objects.get(key="minors").versions.first().pk
    task_queue.submit(task.pk, annotator, Judgement([(pk, 1) for pk in ids], [(ids[0], version)]))
    return task.completions.get(pk=ids[0])
