"""Answers that came faster than their texts can be read."""

import pytest

from feedback.judgements import reading_time, task_queue
from feedback.judgements.judgement import Judgement
from feedback.models import Assignment
from tests.feedback.ranking_tasks import in_order, later, make_task


@pytest.fixture(autouse=True)
def _sixty_letters_a_second(settings):
    settings.FEEDBACK_READING_SPEED = 60.0


def test_sixty_letters_a_second_and_fewer_where_each_is_a_syllable():
    assert reading_time.least_seconds(["a" * 600, "b" * 60]) == 11
    assert reading_time.least_seconds([]) == 0
    korean = reading_time.least_seconds(["가" * 357])
    assert korean == pytest.approx(reading_time.least_seconds(["a" * 987]))


@pytest.fixture
def judged(policy, annotator):
    """Of a task whose texts take at least ten seconds, answered after so many."""

    def answer(seconds, active=None):
        task = make_task(policy, "q" * 120)
        task.completions.update(text="a" * 120)
        task_queue.next_assignment(annotator)
        Assignment.objects.update(since=later(seconds=-seconds))
        places = list(in_order(task).places)
        return task_queue.submit(task.pk, annotator, Judgement(places, active_seconds=active))

    return answer


@pytest.mark.parametrize(
    ("seconds", "active", "kept", "is_fast"),
    [
        (9, None, None, True),
        (11, None, None, False),
        (300, 9.5, 9.5, True),
        (300, 10.5, 10.5, False),
        (300, float("nan"), None, False),
        (300, -1.0, None, False),
    ],
)
def test_an_answer_is_marked_by_its_active_seconds_where_the_page_counted(judged, seconds, active, kept, is_fast):
    made = judged(seconds, active)
    made.refresh_from_db()
    assert (made.active_seconds, made.too_fast) == (kept, is_fast)


def test_active_seconds_are_never_more_than_those_that_passed(judged):
    made = judged(8, active=1000.0)
    assert made.active_seconds == pytest.approx(8, abs=2)
    assert made.active_seconds == made.seconds
    assert made.too_fast


def test_a_program_is_never_too_fast(judged):
    made = judged(1, active=0.1)
    made.is_simulated = True
    assert not reading_time.is_too_fast(made)


def test_a_site_without_a_speed_marks_nothing(judged, settings):
    settings.FEEDBACK_READING_SPEED = 0
    assert not judged(0.1, active=0.1).too_fast
