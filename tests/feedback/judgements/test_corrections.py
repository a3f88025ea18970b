"""Corrections of one's own rankings: what changes, what is kept, and what is refused."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.roles import Role
from feedback import trainable
from feedback.errors import BadFlags, TakenMeanwhile, TooLate
from feedback.judgements import corrections, task_queue
from feedback.judgements.judgement import Judgement
from feedback.judgements.rankings import BadRanking
from feedback.models import Ranking, Report, Rule
from tests.feedback.ranking_tasks import in_order, make_task, take_task


@pytest.fixture(autouse=True)
def every_flag_is_reported(settings):
    settings.FEEDBACK_FLAG_SAMPLE = 1.0


@pytest.fixture
def rules(seeds):
    return [Rule.objects.get(key=key).versions.first().pk for key in ("no-body", "no-insults")]


@pytest.fixture
def made(policy, annotator, rules):
    task = make_task(policy)
    take_task(annotator)
    flag = (task.completions.first().pk, rules[0])
    return task_queue.submit(task.pk, annotator, Judgement(list(in_order(task).places), [flag], strength={1: "2"}))


def reversed_order(made, **also):
    ids = list(made.task.completions.values_list("pk", flat=True))
    return Judgement(list(zip(ids, (4, 3, 2, 1), strict=True)), **also)


def test_a_correction_replaces_ranks_and_flags_of_the_same_row_and_keeps_what_was_said(made, annotator, rules):
    first, second = made.task.completions.values_list("pk", flat=True)[:2]
    before = dict(made.ranks)
    corrections.correct(made.pk, annotator, reversed_order(made, flags=[(second, rules[1])], overall="bad"))
    now = Ranking.objects.get()
    assert now.pk == made.pk
    assert list(now.ranks.values()) == [4, 3, 2, 1]
    assert (now.strength, now.overall) == ([], "bad")
    assert now.corrected_at
    assert set(now.violations.filter(is_violation=True).values_list("completion", "rule_version")) == {
        (second, rules[1])
    }
    (said,) = now.history
    assert (said["ranks"], said["strength"], said["withdrawn"]) == (before, [2, 0, 0], False)
    assert [first, rules[0], True, None] in said["answers"]
    reports = set(Report.objects.values_list("completion", "rule_version", "state"))
    assert reports == {(first, rules[0], "withdrawn"), (second, rules[1], "open")}
    assert trainable.rankings().get() == now


def test_a_flag_that_stays_is_not_reported_again(made, annotator, rules):
    first = made.task.completions.first().pk
    corrections.correct(made.pk, annotator, reversed_order(made, flags=[(first, rules[0])]))
    assert Report.objects.get().state == "open"


def test_a_withdrawn_ranking_is_given_again_while_its_place_is_free(made, annotator, person):
    corrections.withdraw(made.pk, annotator)
    corrections.correct(made.pk, annotator, reversed_order(made))
    made.refresh_from_db()
    made.task.refresh_from_db()
    assert (made.withdrawn_at, made.task.state) == (None, "done")
    assert take_task(person("bob", Role.ANNOTATOR)) is None


def test_a_withdrawn_ranking_stays_so_once_another_person_has_its_place(made, annotator, person):
    corrections.withdraw(made.pk, annotator)
    bob = person("bob", Role.ANNOTATOR)
    assert take_task(bob) == made.task
    with pytest.raises(TakenMeanwhile):
        corrections.correct(made.pk, annotator, reversed_order(made))
    task_queue.submit(made.task_id, bob, in_order(made.task))
    with pytest.raises(TakenMeanwhile):
        corrections.correct(made.pk, annotator, reversed_order(made))
    made.refresh_from_db()
    assert (bool(made.withdrawn_at), made.history) == (True, [])


def test_what_cannot_be_corrected_stays_as_it_was(made, annotator, person, rules):
    before = Ranking.objects.values().get()
    with pytest.raises(Ranking.DoesNotExist):
        corrections.correct(made.pk, person("bob", Role.ANNOTATOR), reversed_order(made))
    with pytest.raises(BadRanking):
        corrections.correct(made.pk, annotator, Judgement([]))
    with pytest.raises(BadFlags):
        corrections.correct(made.pk, annotator, reversed_order(made, flags=[(0, rules[0])]))
    assert Ranking.objects.values().get() == before
    Ranking.objects.update(created_at=timezone.now() - timedelta(hours=25))
    with pytest.raises(TooLate):
        corrections.correct(made.pk, annotator, reversed_order(made))
    assert Ranking.objects.get().ranks == before["ranks"]
