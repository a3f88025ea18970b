"""Who is offered which tasks, in which order; and no place of a task is given twice, however many ask at once."""

import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import close_old_connections
from django.utils import timezone

from accounts.models import User
from accounts.roles import Role
from feedback.judgements import assignments, task_queue
from feedback.judgements.task_queue import Judgement
from feedback.models import Assignment, Project, Prompt, Ranking, RankingTask
from feedback.projects import offers, people, progress, setting_up
from feedback.projects.people import PersonLine
from feedback.projects.setting_up import ProjectPlan
from tests.feedback.projects.prompt_lines import pasted
from tests.feedback.ranking_tasks import make_task, take_task


def judge(task, person):
    ids = task.completions.values_list("pk", flat=True)
    return task_queue.submit(task.pk, person, Judgement([(pk, place) for place, pk in enumerate(ids, start=1)]))


@pytest.fixture
def by_need(monkeypatch):
    monkeypatch.setattr(offers, "SHARE_BY_LOT", 0)


def test_members_alone_are_offered_a_project(project, member, annotator, other_lead):
    assert take_task(annotator) is None
    assert take_task(member("ann2")).project == project
    assert take_task(other_lead).project.key == "other"


def test_who_is_in_a_project_alone_never_gets_the_site_s_tasks(policy, project, member, annotator):
    make_task(policy)
    outsider = member("mia")
    assert outsider.has_role(Role.ANNOTATOR)
    setting_up.set_state(project, "stopped", by=None)
    assert take_task(outsider) is None
    assert take_task(annotator).project.is_site


def test_stopped_projects_and_those_whose_time_is_up_give_nothing(project, member):
    ann = member("ann2")
    setting_up.set_state(project, "stopped", by=None)
    assert take_task(ann) is None
    setting_up.set_state(project, "open", by=None)
    Project.objects.filter(pk=project.pk).update(deadline=timezone.now() - timedelta(minutes=1))
    assert take_task(ann) is None
    Project.objects.filter(pk=project.pk).update(deadline=timezone.now() + timedelta(minutes=1))
    assert take_task(ann).project == project


def test_the_languages_of_a_membership_are_those_of_its_tasks(project, member):
    assert take_task(member("kim", languages=["ko"])) is None
    Prompt.objects.filter(projects__project=project).update(language="ko")
    assert take_task(User.objects.get(username="kim")).project == project
    assert take_task(member("eve")) is None


def test_what_was_judged_least_comes_first(project, member, by_need):
    tasks = list(project.tasks.order_by("pk"))
    first = member("p0")
    assert take_task(first) == tasks[0]
    judge(tasks[0], first)
    assert take_task(member("p1")) == tasks[1]


def test_a_share_is_drawn_by_lot_and_its_judgements_say_so(project, member, monkeypatch):
    monkeypatch.setattr(offers, "SHARE_BY_LOT", 1)
    last = project.tasks.order_by("pk").last()
    RankingTask.objects.update(lot=0.5)
    RankingTask.objects.filter(pk=last.pk).update(lot=0.1)
    ann = member("ann2")
    assert take_task(ann) == last
    assert judge(last, ann).is_by_lot
    monkeypatch.setattr(offers, "SHARE_BY_LOT", 0)
    assert not judge(take_task(ann), ann).is_by_lot


def test_the_chosen_project_comes_first_then_the_nearest_deadline(project, member, policy, annotator):
    soon, _stored = setting_up.create(
        ProjectPlan(
            key="soon", title="Soon", replies="pasted", prompts=pasted(), deadline=timezone.now() + timedelta(days=1)
        ),
        by=None,
    )
    make_task(policy)
    for one in (project, soon):
        people.add(one, [PersonLine(1, "ann", "annotator")], by=None)
    assert take_task(annotator).project == soon
    for chosen in (project, Project.objects.get(key="site")):
        assignments.release(annotator)
        offers.choose(annotator, chosen)
        assert take_task(annotator).project == chosen


def test_who_is_removed_gives_back_what_they_had(project, member, admin):
    ann = member("ann2")
    task = take_task(ann)
    people.remove(project, ann.pk, by=admin)
    assert not Assignment.objects.exists()
    task.refresh_from_db()
    assert task.state == "open"
    assert not User.objects.get(pk=ann.pk).has_role(Role.ANNOTATOR)


def test_progress_counts_by_language_and_person(project, member, django_assert_max_num_queries):
    for name in ("p0", "p1"):
        person = member(name)
        while (task := take_task(person)) is not None:
            judge(task, person)
    Ranking.objects.update(seconds=4)
    with django_assert_max_num_queries(6):
        found = progress.of(project)
    assert (found.tasks.done, found.tasks.waiting, found.tasks.judgements, found.tasks.wanted) == (3, 0, 6, 6)
    assert [(code, tasks.judgements) for code, tasks in found.languages] == [("en", 6)]
    assert [(row.username, row.judgements, row.seconds) for row in found.people] == [("p0", 3, 4), ("p1", 3, 4)]


WORKERS = 32


@pytest.mark.django_db(transaction=True)
def test_32_at_once_get_no_place_twice_and_fill_every_place(admin):
    """16 tasks with an overlap of 3 have 48 places; 32 people judge whatever they get until nothing is left."""
    prompts = pasted("\n".join(f'{{"prompt": "Question {n} of the sea?", "replies": ["a", "b"]}}' for n in range(16)))
    project, _stored = setting_up.create(
        ProjectPlan(key="many", title="Many", replies="pasted", prompts=prompts, overlap=3), by=admin
    )
    workers = [User.objects.create_user(f"w{n}") for n in range(WORKERS)]
    people.add(project, [PersonLine(n, worker.username) for n, worker in enumerate(workers)], by=admin)
    together, failed = threading.Barrier(WORKERS), []

    def work(worker):
        try:
            together.wait()
            while (task := take_task(worker)) is not None:
                held = Assignment.objects.filter(task=task).count()
                done = Ranking.objects.filter(task=task).count()
                if held > 3 or done > 3:
                    failed.append((task.pk, held, done))
                judge(task, worker)
        except Exception as error:
            failed.append(repr(error))
        finally:
            close_old_connections()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    given = Counter(Ranking.objects.values_list("task", flat=True))
    assert set(given.values()) == {3}
    assert len(given) == 16
    assert set(project.tasks.values_list("state", "judgements")) == {("done", 3)}
    assert not Assignment.objects.exists()
