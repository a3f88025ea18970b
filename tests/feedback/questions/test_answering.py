"""Answers are stored once, count in queue and progress, can be corrected and withdrawn, and go with a person."""

from datetime import timedelta

import pytest
from django.utils import timezone

from base import fsck
from feedback import personal_data, trainable
from feedback.errors import AlreadySubmitted, NotYourTask, TakenMeanwhile, TooLate
from feedback.judgements import task_queue
from feedback.models import (
    Assignment,
    Completion,
    JudgingChoices,
    Prompt,
    Ranking,
    RankingTask,
    TaskAnswer,
    Violation,
)
from feedback.projects import offers, progress, setting_up
from feedback.questions import answering
from feedback.questions.kind import BadAnswer, asked
from feedback.questions.kinds import KINDS
from tests.feedback.questions.asked_projects import answer, lines, make_project, right
from tests.own_directories import use_own_directories

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("seeds")]
OWN = [key for key, kind in KINDS.items() if not kind.is_order]


@pytest.fixture(autouse=True)
def home(settings, tmp_path):
    """Directories of this test alone: fsck looks for files without a row."""
    use_own_directories(settings, tmp_path, trainer="")


@pytest.fixture
def judges(person):
    return [person(name) for name in ("jo", "kim")]


@pytest.mark.parametrize("question", KINDS)
def test_a_project_is_judged_to_its_end_and_its_progress_says_so(question, judges):
    project = make_project(question, overlap=2, members=["jo", "kim"])
    for judge in judges:
        while answer(judge):
            pass
    found = progress.of(project)
    assert (found.tasks.done, found.tasks.judgements, found.tasks.wanted) == (3, 6, 6)
    assert {row.username: row.judgements for row in found.people} == {"jo": 3, "kim": 3}
    rows = Ranking if KINDS[question].is_order else TaskAnswer
    assert rows.objects.count() == 6
    assert [*fsck.problems()] == []


@pytest.mark.parametrize("question", OWN)
def test_nobody_answers_twice_or_what_is_not_theirs(question, judges):
    make_project(question, members=["jo", "kim"])
    own = task_queue.next_assignment(judges[0])
    fields = right(question, asked(own.task, own.shown_order))
    with pytest.raises(NotYourTask):
        answering.submit(own.task_id, judges[1], fields)
    answering.submit(own.task_id, judges[0], fields)
    with pytest.raises(AlreadySubmitted):
        answering.submit(own.task_id, judges[0], fields)
    assert TaskAnswer.objects.count() == 1


def test_a_refused_answer_changes_nothing(judges):
    make_project("rate", members=["jo"])
    own = task_queue.next_assignment(judges[0])
    answering.save_draft(own.task_id, judges[0], {"rate-1-0": "4"})
    with pytest.raises(BadAnswer):
        answering.submit(own.task_id, judges[0], {"rate-1-0": "4"})
    assert answering.fields_of(Assignment.objects.get()) == {"rate-1-0": "4"}
    assert not TaskAnswer.objects.exists()


def test_grades_are_flags_that_train_until_they_are_withdrawn(judges):
    make_project("grade", members=["jo"])
    made = answer(judges[0], 0)
    assert {(row.grade, row.is_violation) for row in trainable.violations()} == {(-2, True)}
    answering.correct(made.pk, judges[0], right("grade", asked(made.task), 1))
    assert {(row.grade, row.is_violation) for row in trainable.violations()} == {(2, False)}
    answering.correct(made.pk, judges[0], right("grade", asked(made.task), 2))  # unsure
    assert not trainable.violations().exists()
    answering.correct(made.pk, judges[0], right("grade", asked(made.task), 0))
    assert trainable.violations().count() == 2
    answering.withdraw(made.pk, judges[0])
    assert not trainable.violations().exists()
    assert Violation.objects.count() == 2
    made.refresh_from_db()
    assert set(made.history[0]["said"]["grades"].values()) == {-2}


def test_a_withdrawn_answer_is_asked_of_others_and_counts_again_only_if_its_place_is_free(judges):
    project = make_project("demonstrate", members=["jo", "kim"], texts=["Is the sea salty?"])
    made = answer(judges[0])
    answering.withdraw(made.pk, judges[0])
    assert project.tasks.get().state == "open"
    answering.correct(made.pk, judges[0], {"text": "Yes, it is."})
    assert (project.tasks.get().state, trainable.answers().get().said["text"]) == ("done", "Yes, it is.")
    answering.withdraw(made.pk, judges[0])
    assert answer(judges[1])
    with pytest.raises(TakenMeanwhile):
        answering.correct(made.pk, judges[0], {"text": "Yes."})


def test_after_a_day_an_answer_stands(judges):
    make_project("demonstrate", members=["jo"])
    made = answer(judges[0])
    TaskAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
    for act in (
        lambda: answering.withdraw(made.pk, judges[0]),
        lambda: answering.correct(made.pk, judges[0], {"text": "x"}),
    ):
        with pytest.raises(TooLate):
            act()


def test_what_was_hidden_or_kept_out_does_not_train(judges):
    make_project("correct", members=["jo"])
    answer(judges[0])
    assert trainable.answers().count() == 1
    Completion.objects.update(never_train=True)
    assert not trainable.answers().exists()


def test_texts_that_a_person_wrote_go_with_them_and_what_they_said_of_others_stays(judges):
    written, rated = make_project("demonstrate", members=["jo"]), make_project("rate", members=["jo"])
    while answer(judges[0], comment="mine"):
        pass
    assert TaskAnswer.objects.count() == 6
    personal_data.forget_person(judges[0])
    assert {row.task.project for row in TaskAnswer.objects.all()} == {rated}
    assert set(TaskAnswer.objects.values_list("comment", flat=True)) == {""}
    assert {task.state for task in written.tasks.all()} == {"open"}
    assert [*fsck.problems()] == []


def test_tasks_without_replies_are_made_once_a_prompt_and_cloned(admin):
    project = make_project("demonstrate")
    assert project.tasks.count() == 3
    stored = setting_up.add_prompts(project, lines("demonstrate"), by=admin)
    assert (stored.doubles, stored.tasks, project.tasks.count()) == (3, 0, 3)
    other = setting_up.clone(project, "again", "Again", with_people=False, by=admin)
    assert (other.question, other.tasks.count()) == ("demonstrate", 3)


def test_who_leaves_a_rule_out_is_asked_about_it_in_no_project(judges):
    project = make_project("grade", members=["jo", "kim"])
    JudgingChoices.objects.create(annotator=judges[0], left_out_rules=[project.rule.key])
    assert task_queue.next_assignment(judges[0]) is None
    assert task_queue.next_assignment(judges[1]) is not None


def test_an_upsetting_prompt_without_replies_can_be_skipped(judges):
    make_project("demonstrate", members=["jo"])
    own = task_queue.next_assignment(judges[0])
    task_queue.skip(own.task_id, judges[0], "upsetting")
    assert RankingTask.objects.get(pk=own.task_id).skips.count() == 1
    assert Prompt.objects.count() >= 3


def test_the_project_that_comes_first_comes_at_once_where_nothing_is_said_of_the_other_s_task(judges):
    first, second = (make_project(key, members=["jo"]) for key in ("grade", "rate"))
    offers.choose(judges[0], first)
    assert task_queue.next_assignment(judges[0]).task.project == first
    offers.choose(judges[0], second)
    own = task_queue.next_assignment(judges[0])
    assert own.task.project == second
    answering.save_draft(own.task_id, judges[0], {"comment": "Not yet."})
    offers.choose(judges[0], first)
    assert task_queue.next_assignment(judges[0]).pk == own.pk, "what was begun is not lost"
