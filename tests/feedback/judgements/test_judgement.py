"""Judgements as checked input: absolute labels, grades of a rule, and what was unfolded."""

import pytest

from feedback import trainable
from feedback.errors import BadFlags
from feedback.judgements import task_queue
from feedback.judgements.judgement import Judgement, check
from feedback.judgements.rankings import BadRanking
from feedback.models import Report, Rule
from tests.feedback.ranking_tasks import in_order, make_task, take_task


@pytest.fixture
def task(policy, annotator):
    task = make_task(policy)
    take_task(annotator)
    return task


def ids_of(task):
    return list(task.completions.values_list("pk", flat=True))


def test_all_bad_needs_no_order_and_an_order_stays_with_it(db):
    assert check(Judgement([], overall="bad"), [7, 8]).ranks == {"7": 1, "8": 1}
    both = check(Judgement([(7, 2), (8, 1)], overall="good"), [7, 8])
    assert (both.ranks, both.overall) == ({"7": 2, "8": 1}, "good")
    with pytest.raises(BadRanking):
        check(Judgement([(7, 2)], overall="good"), [7, 8])
    with pytest.raises(BadRanking):
        check(Judgement([], overall="fine"), [7, 8])


def test_what_was_unfolded_is_noted_and_only_of_the_task_s_own_replies(task, annotator):
    first = ids_of(task)[0]
    made = task_queue.submit(task.pk, annotator, Judgement(list(in_order(task).places), unfolded=[first, 10**9]))
    made.refresh_from_db()
    assert made.unfolded == [first]


def test_without_folds_nothing_is_noted(task, annotator):
    assert task_queue.submit(task.pk, annotator, in_order(task)).unfolded is None


def test_five_grades_become_violations_and_unsure_trains_nothing(policy, annotator, seeds, settings):
    settings.FEEDBACK_FLAG_SAMPLE = 1.0
    version = Rule.objects.get(key="no-body").versions.first().pk
    task = make_task(policy, replies=5)
    take_task(annotator)
    grades = {(pk, version): grade for pk, grade in zip(ids_of(task), (-2, -1, 0, 1, 2), strict=True)}
    task_queue.submit(task.pk, annotator, Judgement(list(in_order(task).places), asked=[version], grades=grades))
    trained = {(row.grade, row.is_violation) for row in trainable.violations()}
    assert trained == {(-2, True), (-1, True), (1, False), (2, False)}
    assert Report.objects.count() == 2


def test_of_a_graded_rule_a_reply_without_a_grade_says_nothing(task, annotator, seeds):
    version = Rule.objects.get(key="no-body").versions.first().pk
    first = ids_of(task)[0]
    judgement = Judgement(list(in_order(task).places), asked=[version], grades={(first, version): 2})
    made = task_queue.submit(task.pk, annotator, judgement)
    assert list(made.violations.values_list("completion", "grade")) == [(first, 2)]


def test_a_flag_without_a_grade_trains_as_before(task, annotator, seeds):
    version = Rule.objects.get(key="no-body").versions.first().pk
    flag = (ids_of(task)[0], version)
    task_queue.submit(task.pk, annotator, Judgement(list(in_order(task).places), [flag]))
    assert sorted(trainable.violations().values_list("is_violation", flat=True)) == [False, False, False, True]


@pytest.mark.parametrize("grade", [-3, 3, 10**30])
def test_a_grade_that_is_none_is_refused(task, annotator, seeds, grade):
    version = Rule.objects.get(key="no-body").versions.first().pk
    with pytest.raises(BadFlags):
        task_queue.submit(
            task.pk, annotator, Judgement(list(in_order(task).places), grades={(ids_of(task)[0], version): grade})
        )
