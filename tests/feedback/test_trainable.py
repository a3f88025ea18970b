"""What may be trained on: only with consent, and nothing hidden, kept out or of suspended people."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from feedback import trainable
from feedback.judgements import task_queue
from feedback.judgements.task_queue import Judgement
from feedback.models import Completion, Rule
from tests.feedback.conversation_rows import talk
from tests.feedback.ranking_tasks import make_task, take_task


def in_order(task):
    """A judgement that ranks the completions as they were written."""
    return Judgement([(pk, place) for place, pk in enumerate(task.completions.values_list("pk", flat=True), start=1)])


def later(**delta):
    return timezone.now() + timedelta(**delta)


@pytest.fixture
def judged(policy, annotator, person, seeds):
    """A ranking of replies to a consenting person's message, with one flag."""
    asked, answered = talk(person("carl"), "My plan", "Fine.")
    task = make_task(policy, "My plan", source="conversation", message=asked)
    take_task(annotator)
    flag = (task.completions.first().pk, Rule.objects.get(key="no-body").versions.first().pk)
    task_queue.submit(task.pk, annotator, Judgement(in_order(task).places, [flag]))
    return asked, answered, task


def trains():
    return (
        trainable.rankings().exists(),
        trainable.violations().exists(),
        trainable.prompts().filter(source="conversation").exists(),
    )


def test_with_consent_all_of_it_trains(judged):
    assert trains() == (True, True, True)


def test_without_consent_nothing_of_it_trains(judged):
    conversation = judged[0].conversation
    conversation.may_train = False
    conversation.save()
    assert trains() == (False, False, False)


def test_a_deleted_conversation_does_not_train(judged):
    conversation = judged[0].conversation
    conversation.deleted_at = timezone.now()
    conversation.save()
    assert trains() == (False, False, False)


@pytest.mark.parametrize("change", [{"hidden_at": timezone.now()}, {"never_train": True}])
def test_a_hidden_or_kept_out_turn_takes_its_prompt_along(judged, change):
    type(judged[0]).objects.filter(pk=judged[0].pk).update(**change)
    assert trains() == (False, False, False)


@pytest.mark.parametrize("change", [{"hidden_at": timezone.now()}, {"never_train": True}])
def test_a_hidden_or_kept_out_completion_takes_its_ranking_along(judged, change):
    Completion.objects.filter(pk=judged[2].completions.first().pk).update(**change)
    assert trainable.rankings().count() == 0
    assert trainable.violations().count() == 3


@pytest.mark.parametrize("change", [{"suspended_until": later(days=1)}, {"is_active": False}])
def test_judgements_of_the_banned_do_not_train(judged, annotator, change):
    User.objects.filter(pk=annotator.pk).update(**change)
    assert trains()[:2] == (False, False)
    User.objects.filter(pk=annotator.pk).update(suspended_until=timezone.now(), is_active=True)
    assert trains()[:2] == (True, True)
