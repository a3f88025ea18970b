"""The page of each question: shown, answered, refused with what was entered, drafted, corrected and withdrawn."""

import json

import pytest

from feedback.judgements import task_queue
from feedback.models import Assignment, Ranking, TaskAnswer
from feedback.questions.kind import asked
from feedback.questions.kinds import KINDS
from tests.feedback.questions.asked_projects import answer, make_project, right

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("seeds")]
PAGES = [key for key in KINDS if key != "rank"]
OWN = [key for key, kind in KINDS.items() if not kind.is_order]


@pytest.fixture
def judge(person, signed_in):
    """Somebody in a project with this question, signed in."""

    def make(question):
        ann = person("jo")
        make_project(question, members=["jo"])
        return ann, signed_in(ann)

    return make


@pytest.mark.parametrize("question", PAGES)
def test_a_task_is_shown_and_answered_and_the_next_one_follows(judge, question):
    ann, client = judge(question)
    page = client.get("/rank/")
    own = Assignment.objects.get(annotator=ann)
    assert page.status_code == 200
    assert own.task.prompt.messages[-1]["content"] in page.content.decode()
    given = right(question, asked(own.task, own.shown_order))
    assert client.post(f"/rank/{own.task_id}/answer/", {**given, "comment": "Why not."}).status_code == 302
    rows = Ranking if KINDS[question].is_order else TaskAnswer
    assert rows.objects.get().comment == "Why not."
    assert client.post(f"/rank/{own.task_id}/answer/", given).status_code == 409
    assert client.get("/rank/").status_code == 200
    assert Assignment.objects.get(annotator=ann).task_id != own.task_id


@pytest.mark.parametrize("question", PAGES)
def test_what_is_incomplete_is_shown_again_with_why(judge, question):
    ann, client = judge(question)
    client.get("/rank/")
    own = Assignment.objects.get(annotator=ann)
    page = client.post(f"/rank/{own.task_id}/answer/", {"comment": "Kept words"})
    assert page.status_code == 400
    assert "Kept words" in page.content.decode()
    assert 'role="alert"' in page.content.decode()


@pytest.mark.parametrize("question", PAGES)
def test_a_draft_survives_a_reload(judge, question):
    ann, client = judge(question)
    client.get("/rank/")
    own = Assignment.objects.get(annotator=ann)
    fields = {**right(question, asked(own.task, own.shown_order)), "comment": "Half a thought"}
    address = f"/rank/{own.task_id}/answer/draft/"
    assert client.post(address, json.dumps(fields), content_type="application/json").status_code == 204
    page = client.get("/rank/").content.decode()
    assert "Half a thought" in page
    assert "checked" in page or "The best reply, number 0." in page
    for bad in ("[]", "{", '{"a": 1}', json.dumps({"text": "x" * 200_000})):
        assert client.post(address, bad, content_type="application/json").status_code == 400
    Assignment.objects.all().delete()
    assert client.post(address, "{}", content_type="application/json").status_code == 409


@pytest.mark.parametrize("question", OWN)
def test_one_s_own_answers_are_listed_corrected_and_withdrawn(judge, question, person, signed_in):
    ann, client = judge(question)
    made = answer(ann)
    assert f'id="answer-{made.pk}"' in client.get("/rank/answers/").content.decode()
    assert client.get(f"/rank/answers/{made.pk}/").status_code == 200
    given = right(question, asked(made.task, made.shown_order), 1)
    assert client.post(f"/rank/answers/{made.pk}/", {}).status_code == 400
    assert client.post(f"/rank/answers/{made.pk}/", given).status_code == 302
    made.refresh_from_db()
    assert made.corrected_at
    other = person("else")
    make_project(question, key="of-others", members=["else"])
    for act in ("", "withdraw/"):
        assert signed_in(other).post(f"/rank/answers/{made.pk}/{act}", given).status_code == 404
    assert client.post(f"/rank/answers/{made.pk}/withdraw/").status_code == 302
    made.refresh_from_db()
    assert made.withdrawn_at


def test_a_page_of_rankings_is_loaded_anew_where_another_question_follows(judge, policy, person, signed_in):
    ann, client = judge("rate")
    own = task_queue.next_assignment(ann)
    response = client.post(f"/rank/{own.task_id}/skip/", {"reason": "other"}, headers={"X-Fragment": "task"})
    assert response.status_code == 204
