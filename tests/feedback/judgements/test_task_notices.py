"""Annotators who asked are told of new tasks: once a day, and not again before they have read it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import notices
from accounts.models import Notice
from feedback.judgements import task_notices
from feedback.tasks import stock_tasks


@pytest.fixture
def keen(annotator):
    annotator.notice_choices = {"tasks_wait": True}
    annotator.save()
    return annotator


def test_a_refilled_stock_tells_who_asked_and_who_may_rank(seeds, policy, speech, settings, keen, person, moderator):
    person("chatter", notice_choices={"tasks_wait": True})
    settings.FEEDBACK_TASK_STOCK = 2
    stock_tasks()
    notice = Notice.objects.get()
    assert (notice.person, notice.link) == (keen, "/rank/")


def test_a_full_stock_tells_nobody(seeds, policy, speech, settings, keen):
    settings.FEEDBACK_TASK_STOCK = 0
    stock_tasks()
    assert not Notice.objects.exists()


def test_it_is_told_once_a_day_and_not_before_the_last_was_read(keen, monkeypatch):
    task_notices.send()
    notices.mark_read(keen.notices.all())
    task_notices.send()
    assert Notice.objects.count() == 1
    tomorrow = timezone.localdate() + timedelta(days=1)
    monkeypatch.setattr(task_notices.timezone, "localdate", lambda: tomorrow)
    Notice.objects.update(read_at=None)
    task_notices.send()
    assert Notice.objects.count() == 1, "the first is still unread"
    notices.mark_read(keen.notices.all())
    Notice.objects.create(person=keen, kind="job_failed", about="of another kind, unread")
    task_notices.send()
    assert keen.notices.filter(kind="tasks_wait").count() == 2
