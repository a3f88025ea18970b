"""Where judges disagree a lead decides: who may, what it does to training, and that it can be taken back."""

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from base import fsck
from feedback import trainable
from feedback.models import Completion, ProjectMember, Ranking, RankingTask, TaskAnswer
from feedback.projects import adjudication, people, progress
from feedback.projects.errors import NotToBeDecided
from feedback.projects.people import PersonLine
from feedback.questions import answering
from feedback.questions.kind import BadAnswer, asked
from feedback.questions.kinds import KINDS
from rlhf.snapshots.rows import Frozen
from tests.feedback.questions.asked_projects import answer, make_project, right

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("seeds")]
OPPOSITE = {"rank": (0, 1), "compare": (0, 1), "grade": (0, 1), "rate": (0, 2)}


@pytest.fixture
def dispute(person):
    """A project with this question whose one task two people judged in opposite ways, and its lead."""

    def make(question, name="leah", numbers=None):
        judges = [person(f"{name}-{n}") for n in range(2)]
        lead = person(name)
        project = make_project(
            question, overlap=2, texts=["Is the sea salty?"], members=[judge.username for judge in judges]
        )
        people.add(project, [PersonLine(1, name, "lead")], by=None)
        for judge, number in zip(judges, numbers or OPPOSITE[question], strict=True):
            answer(judge, number)
        return project, project.tasks.get(), lead

    return make


@pytest.mark.parametrize("question", OPPOSITE)
def test_the_decision_is_what_trains_and_can_be_taken_back(dispute, question):
    project, task, lead = dispute(question)
    assert (task.lead, task.disagreement >= KINDS[question].threshold) == ("waiting", True)
    rows, train = (Ranking, trainable.rankings) if KINDS[question].is_order else (TaskAnswer, trainable.answers)
    assert train().count() == 2
    given = {**right(question, asked(task), 3), "adopt": "own", "reason": "The second one is right."}
    made = adjudication.decide(task.pk, project, lead, given)
    assert [row.pk for row in train()] == [made.pk]
    assert (made.is_adjudication, made.comment) == (True, "The second one is right.")
    assert progress.of(project).disagreements == {"waiting": 0, "decided": 1}
    assert progress.of(project).tasks.judgements == 2
    assert AuditEntry.objects.get(verb="project.adjudicate").actor == lead
    adjudication.take_back(task.pk, project, lead)
    assert train().count() == 2
    again = adjudication.decide(task.pk, project, lead, {"adopt": "1"})
    assert (again.pk, rows.objects.filter(is_adjudication=True).count()) == (made.pk, 1)
    assert [*fsck.problems()] == []


@pytest.mark.parametrize("question", OPPOSITE)
def test_a_judgement_that_is_adopted_is_said_again(dispute, question):
    project, task, lead = dispute(question)
    judgements = adjudication.judgements(asked(task))
    assert [one.number for one in judgements] == [1, 2]
    made = adjudication.decide(task.pk, project, lead, {"adopt": "2"})
    said = judgements[1].said
    assert (made.ranks == said["ranks"]) if KINDS[question].is_order else (made.said == said)


def test_who_agrees_needs_no_lead(dispute):
    _project, task, _lead = dispute("compare", numbers=(0, 0))
    assert (task.lead, task.disagreement) == ("", 0)


def test_grades_of_a_decision_are_the_flags_that_train(dispute):
    project, task, lead = dispute("grade")
    assert trainable.violations().count() == 4
    adjudication.decide(task.pk, project, lead, {**right("grade", asked(task), 0), "adopt": "own"})
    assert {(row.annotator, row.is_violation) for row in trainable.violations()} == {(lead, True)}


def test_a_snapshot_says_that_it_was_decided_and_weighs_it_whole(dispute):
    project, task, lead = dispute("rank")
    adjudication.decide(task.pk, project, lead, {"adopt": "1"})
    (line,) = Frozen(timezone.now()).rankings
    assert (line["adjudicated"], line["weight"]) == (True, 1.0)


def test_nobody_decides_about_their_own_judgement_or_twice(dispute):
    project, task, lead = dispute("rate")
    judge = TaskAnswer.objects.earliest("pk").annotator
    ProjectMember.objects.filter(project=project, person=judge).update(role="lead")
    with pytest.raises(NotToBeDecided):
        adjudication.decide(task.pk, project, judge, {"adopt": "1"})
    adjudication.decide(task.pk, project, lead, {"adopt": "1"})
    with pytest.raises(NotToBeDecided):
        adjudication.decide(task.pk, project, lead, {"adopt": "1"})
    with pytest.raises(NotToBeDecided):
        adjudication.take_back(task.pk, project, judge)


@pytest.mark.parametrize("given", [{}, {"adopt": "3"}, {"adopt": "x"}, {"adopt": "own"}])
def test_what_says_nothing_decides_nothing(dispute, given):
    project, task, lead = dispute("rate")
    with pytest.raises(BadAnswer):
        adjudication.decide(task.pk, project, lead, given)
    task.refresh_from_db()
    assert (task.lead, TaskAnswer.objects.count()) == ("waiting", 2)


def test_what_was_hidden_meanwhile_is_read_by_no_lead(dispute):
    project, task, lead = dispute("compare")
    assert adjudication.for_lead(project, lead).get() == task
    Completion.objects.update(hidden_at=timezone.now())
    assert not adjudication.for_lead(project, lead).exists()


def test_a_judgement_that_is_withdrawn_ends_the_dispute_until_another_one(dispute, person):
    project, task, _lead = dispute("rate")
    made = TaskAnswer.objects.latest("pk")
    answering.withdraw(made.pk, made.annotator)
    assert RankingTask.objects.get().lead == ""
    third = person("third")
    people.add(project, [PersonLine(1, "third")], by=None)
    answer(third, 2)
    task.refresh_from_db()
    assert task.lead == "waiting"


# --- the page --------------------------------------------------------------------------------------


def test_leads_alone_see_the_page(dispute, signed_in, person, admin):
    project, task, lead = dispute("compare")
    address = f"/projects/{project.key}/disagreements/"
    judge = Ranking.objects.earliest("pk").annotator
    stranger = person("stranger")
    assert signed_in(judge).get(address).status_code == 404
    assert signed_in(judge).post(f"{address}{task.pk}/", {"adopt": "1"}).status_code == 404
    assert signed_in(stranger).get(address).status_code == 403
    assert signed_in(admin).get(address).status_code == 200
    page = signed_in(lead).get(address).content.decode()
    assert "Judgement 1" in page
    assert judge.username not in page


@pytest.mark.parametrize("question", OPPOSITE)
def test_a_lead_decides_on_the_page_one_after_the_other(dispute, signed_in, question):
    project, task, lead = dispute(question)
    client, address = signed_in(lead), f"/projects/{project.key}/disagreements/"
    assert client.post(f"{address}{task.pk}/", {}).status_code == 400
    assert client.post(f"{address}{task.pk}/", {"adopt": "1"}).status_code == 302
    page = client.get(address).content.decode()
    assert "Withdraw the last decision" in page
    assert client.post(f"{address}again/").status_code == 302
    assert "Judgement 1" in client.get(address).content.decode()
    assert client.post(f"{address}999/", {"adopt": "1"}).status_code == 302
    assert RankingTask.objects.get().lead == "waiting"
