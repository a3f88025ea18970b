"""Judgements faster than reading allows: they weigh nothing until a lead has looked at them and let them count."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from feedback import trainable
from feedback.models import Ranking
from feedback.trust import too_fast
from feedback.trust.errors import NothingTooFast, OwnJudgements
from rlhf.snapshots.rows import Frozen
from rlhf.snapshots.tally import tally
from tests.feedback.questions import asked_projects
from tests.feedback.ranking_tasks import later
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db
PAGE = "/projects/site/too-fast/"


@pytest.fixture
def hasty():
    """Two rankings that were too fast, with a flag, and one that was not."""
    mina = feedback_rows.annotator("mina")
    made = [feedback_rows.rank(mina, number, too_fast=number < 2, seconds=0.4) for number in range(3)]
    for ranking in made:
        feedback_rows.flag(ranking)
    return mina


def decide(client, judge, state="count", reason="They had read the texts before.", **fields):
    newest = Ranking.objects.filter(annotator=judge).latest("created_at").created_at
    form = {"state": state, "reason": reason, "person": judge.pk, "until": newest.isoformat(), **fields}
    return client.post(f"{PAGE}decide/", form)


def test_neither_the_ranking_nor_its_flags_train_and_the_tally_says_why(hasty):
    assert (trainable.rankings().count(), trainable.violations().count()) == (1, 1)
    counted = tally(Frozen(later()), later())
    assert counted["rankings"] == {"collected": 3, "kept": 1, "left_out": {"faster_than_reading_allows": 2}}
    assert counted["flags"] == {"collected": 3, "kept": 1, "left_out": {"faster_than_reading_allows": 2}}


@pytest.mark.parametrize(("state", "train"), [("count", 3), ("leave_out", 1)])
def test_an_admin_decides_with_a_reason_and_nothing_waits_any_more(hasty, admin, signed_in, state, train):
    client = signed_in(admin)
    assert "2 judgements" in client.get(PAGE).content.decode()
    assert "Look at them" in client.get("/projects/site/").content.decode()
    assert decide(client, hasty, state).status_code == 302
    assert trainable.rankings().count() == train
    assert too_fast.people(Ranking.objects.first().task.project) == []
    entry = AuditEntry.objects.latest("pk")
    assert entry.verb == f"judgement.{state}_too_fast"
    assert (entry.after["person"], len(entry.after["rankings"])) == (hasty.pk, 2)
    assert decide(client, hasty, state).status_code == 409


@pytest.mark.parametrize(("state", "train"), [("count", 2), ("leave_out", 0)])
def test_answers_to_other_questions_wait_and_are_decided_on_in_the_same_place(
    seeds, settings, admin, signed_in, state, train
):
    settings.FEEDBACK_READING_SPEED = 60.0
    hasty = feedback_rows.annotator("mina")
    made = [answer_at_once(hasty, question) for question in ("rate", "grade")]
    assert all(one.too_fast for one in made)
    assert (trainable.answers().count(), trainable.violations().count()) == (0, 0)
    counted = tally(Frozen(later()), later())
    assert counted["answers"] == {"collected": 1, "kept": 0, "left_out": {"faster_than_reading_allows": 1}}
    assert counted["flags"] == {"collected": 2, "kept": 0, "left_out": {"faster_than_reading_allows": 2}}
    client = signed_in(admin)
    for one in made:
        address = f"/projects/{one.task.project.key}/too-fast/"
        assert "1 judgement" in client.get(address).content.decode()
        form = {
            "state": state,
            "reason": "They had read it.",
            "person": hasty.pk,
            "until": one.created_at.isoformat(),
        }
        assert client.post(f"{address}decide/", form).status_code == 302
        assert too_fast.waiting(one.task.project) == 0
    assert trainable.answers().count() == train
    assert trainable.violations().count() == train


def answer_at_once(person, question):
    asked_projects.make_project(question, texts=asked_projects.ASKED[:1], members=[person.username])
    return asked_projects.answer(person)


@pytest.mark.parametrize("until", ["", "yesterday", "7"])
def test_a_time_that_is_none_is_refused(hasty, admin, signed_in, until):
    assert decide(signed_in(admin), hasty, until=until).status_code == 400


def test_without_a_reason_nothing_changes_and_the_page_says_so(hasty, admin, signed_in):
    response = decide(signed_in(admin), hasty, reason="  ")
    assert response.status_code == 400
    assert "This field is required" in response.content.decode()
    assert trainable.rankings().count() == 1


def test_what_came_after_the_page_was_opened_still_waits(hasty, admin, signed_in):
    shown = Ranking.objects.filter(too_fast=True).latest("created_at").created_at.isoformat()
    feedback_rows.rank(hasty, 7, too_fast=True)
    assert decide(signed_in(admin), hasty, until=shown).status_code == 302
    assert too_fast.waiting(Ranking.objects.first().task.project) == 1


def test_only_those_who_lead_the_project_and_never_about_themselves(hasty, annotator, moderator, admin, signed_in):
    for outsider in (annotator, moderator):
        assert signed_in(outsider).get(PAGE).status_code in (403, 404)
        assert decide(signed_in(outsider), hasty).status_code in (403, 404)
    project = Ranking.objects.first().task.project
    own = feedback_rows.rank(admin, 9, too_fast=True)
    with pytest.raises(OwnJudgements):
        too_fast.decide(project, admin, until=own.created_at, counts=True, actor=admin, reason="mine")
    with pytest.raises(NothingTooFast):
        too_fast.decide(project, annotator, until=own.created_at, counts=True, actor=admin, reason="none")


def test_the_page_takes_no_more_queries_for_more_people_and_rankings(hasty, admin, signed_in):
    client = signed_in(admin)
    client.get(PAGE)
    counts = []
    for people in (1, 4):
        for number in range(people * 8):
            judge = feedback_rows.annotator(f"hasty-{number % people}")
            feedback_rows.rank(judge, 100 * people + number, too_fast=True)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(PAGE).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
