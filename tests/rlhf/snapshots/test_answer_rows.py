"""What people answer in projects reaches a snapshot: written replies, ratings, grades, and the orders they imply."""

import pytest
from django.utils import timezone

from feedback import seed
from feedback.models import AnnotatorTrust, Completion, TaskAnswer
from rlhf.snapshots.rows import Frozen
from rlhf.snapshots.tally import tally
from tests.feedback.questions.asked_projects import answer, make_project
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(home):
    seed.load()
    return feedback_rows.annotator("ann")


def frozen():
    return Frozen(timezone.now())


def judge(ann, question, **fields):
    make_project(question, texts=["Is the sea salty?"], members=["ann"])
    return answer(ann, **fields)


def test_a_written_reply_is_taught_and_ranks_nothing(ann):
    judge(ann, "demonstrate", text="It is, by 3.5 per cent.")
    found = frozen()
    (line,) = found.demonstrations
    assert line["completion"] == [{"role": "assistant", "content": "It is, by 3.5 per cent."}]
    assert (line["source"], line["original"], line["project"], line["consent"]) == (
        *("demonstration", ""),
        *("about-demonstrate", "project"),
    )
    assert found.preferences == []
    assert "demonstrations.jsonl" in found.files()
    assert sum(found.annotators().values()) == 1


def test_a_correction_is_preferred_to_what_it_corrects(ann):
    made = judge(ann, "correct", text="It is.")
    original = made.task.completions.get().text
    (pair,) = frozen().preferences
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("It is.", original)


def test_a_reply_that_was_right_as_it_is_is_taught_and_preferred_to_nothing(ann):
    make_project("correct", texts=["Is the sea salty?"], members=["ann"])
    answer(ann, text=Completion.objects.get().text, as_it_is="on")
    found = frozen()
    assert (len(found.demonstrations), found.preferences) == (1, [])


def test_ratings_prefer_by_the_first_attribute_alone(ann):
    make_project("rate", texts=["Is the sea salty?"], members=["ann"])
    better, worse = Completion.objects.order_by("pk")
    fields = {f"rate-{better.pk}-0": "6", f"rate-{better.pk}-1": "1", f"rate-{worse.pk}-0": "2"}
    answer(ann, **fields, **{f"rate-{worse.pk}-1": "7"})
    found = frozen()
    (line,), (pair,) = found.ratings, found.preferences
    assert (line["attributes"], line["ratings"]) == (["helpfulness", "wit"], [[6, 1], [2, 7]])
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == (better.text, worse.text)


def test_grades_are_flags_of_the_snapshot(ann):
    judge(ann, "grade")
    assert [(line["rule"], line["label"]) for line in frozen().violations] == [("no-insults", 1)] * 2


def test_nothing_that_was_answered_is_left_out_without_a_word(ann):
    for question in ("demonstrate", "correct", "rate"):
        judge(ann, question)
    TaskAnswer.objects.filter(pk=TaskAnswer.objects.earliest("pk").pk).update(withdrawn_at=timezone.now())
    found = frozen()
    told = tally(found, timezone.now())["answers"]
    assert told == {"collected": 3, "kept": 2, "left_out": {"withdrawn": 1}}
    AnnotatorTrust.objects.create(person=ann, weight=0.0)
    told = tally(frozen(), timezone.now())["answers"]
    assert told["kept"] == 0
    assert sum(told["left_out"].values()) == 3
