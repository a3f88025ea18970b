"""What is exported and imported again is the same, whatever was judged."""

import json

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback.imports.values import ranks as dense
from feedback.models import Completion, CompletionThumb, Project, Prompt, Ranking, RankingTask, TaskAnswer, Violation
from feedback.prompts import digest
from feedback.splits import add_imported
from tests.feedback.imports.imported_files import bring
from tests.feedback.questions.asked_projects import answer, make_project
from tests.rlhf import feedback_rows
from tests.rlhf.exports.exported import rows

pytestmark = pytest.mark.django_db
MADE_HERE = {"id", "ranking", "project", "imported_from", "consent", "weight"}
"""What an import gives anew: keys of rows, whose it is, and how much a judgement weighs beside all others."""
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)


class Undone(Exception):
    """Takes an example's rows back."""


def without(found, *names):
    kept = [{name: value for name, value in row.items() if name not in {*MADE_HERE, *names}} for row in found]
    return sorted(kept, key=lambda row: json.dumps(row, sort_keys=True))


@st.composite
def rankings(draw, replies=None):
    count = draw(st.integers(2, 4) if replies is None else replies)
    return {
        "person": draw(st.sampled_from(["ann", "bob", "cat"])),
        "asked": draw(st.lists(TEXT.filter(str.strip), min_size=1, max_size=1)),
        "system": draw(TEXT),
        "texts": draw(st.lists(TEXT, min_size=count, max_size=count, unique=True)),
        "ranks": draw(st.lists(st.integers(1, count), min_size=count, max_size=count)),
        "order": draw(st.none() | st.permutations(range(count))),
        "seconds": draw(st.floats(0, 1e6)),
        "guidelines": draw(st.integers(0, 30)),
        "simulated": draw(st.booleans()),
        "margin": draw(st.none() | st.floats(0.01, 5)),
    }


def store(number, one):
    messages = [{"role": "user", "content": f"{number} {one['asked'][0]}"}]
    if one["system"]:
        messages.insert(0, {"role": "system", "content": one["system"]})
    prompt = Prompt(messages=messages, preamble_turns=len(messages) - 1, sha256=digest(messages), split="")
    add_imported([prompt])
    Prompt.objects.filter(pk=prompt.pk).update(source="seed")
    task = RankingTask.objects.create(prompt=prompt, policy=feedback_rows.any_policy(), state="done")
    ids = [
        Completion.objects.create(task=task, index=index, text=text, finish_reason="stop").pk
        for index, text in enumerate(one["texts"])
    ]
    ranks = dense(one["ranks"])
    better = [(a, b) for a in range(len(ids)) for b in range(len(ids)) if ranks[a] < ranks[b]]
    Ranking.objects.create(
        task=task,
        annotator=feedback_rows.annotator(one["person"]),
        ranks={str(pk): rank for pk, rank in zip(ids, ranks, strict=True)},
        shown_order=[ids[place] for place in one["order"] or ()],
        margins=[[ids[a], ids[b], one["margin"]] for a, b in better[:1] if one["margin"]],
        seconds=one["seconds"],
        guidelines_version=one["guidelines"],
        is_simulated=one["simulated"],
    )


def roundtrip(tmp_path, key, found):
    """Rows of the site's own, and those of a project into which they were imported, with nothing else there."""
    path = tmp_path / "out.jsonl"
    for number, one in enumerate(found):
        store(number, one)
    before = rows(path, key)
    Ranking.objects.all().update(withdrawn_at="2026-01-01T00:00:00Z")  # or their prompts would be held apart twice
    if before:
        bring(path, key, project=Project.objects.create(key="again"))
    return before, rows(tmp_path / "again.jsonl", key)


@given(st.lists(rankings(), min_size=1, max_size=5))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rankings_come_back_as_they_were(home, tmp_path, found):
    try:
        with transaction.atomic():
            before, after = roundtrip(tmp_path, "rankings", found)
            assert without(after) == without(before)
            assert {row["project"] for row in after} <= {"again"}
            raise Undone
    except Undone:
        pass


@given(st.lists(rankings(st.just(2)), min_size=1, max_size=5))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_preference_pairs_come_back_as_they_were(home, tmp_path, found):
    try:
        with transaction.atomic():
            before, after = roundtrip(tmp_path, "trl-preference", found)
            assert without(after) == without(before)
            raise Undone
    except Undone:
        pass


@pytest.mark.parametrize("key", ["demonstrations", "sft"])
def test_replies_that_are_taught_come_back_as_they_were(home, tmp_path, key):
    ann = feedback_rows.annotator("ann")
    for number, side in enumerate(["train", "held_out"]):
        feedback_rows.rank(ann, number, side, ranks=(2, 1, 3, 4))
    for question in ("demonstrate", "correct"):
        make_project(question, members=["ann"])
    while answer(ann, TaskAnswer.objects.count()):
        pass
    TaskAnswer.objects.filter(pk=TaskAnswer.objects.earliest("pk").pk).update(is_adjudication=True)
    RankingTask.objects.filter(answers__is_adjudication=True).update(lead="decided")
    before = rows(tmp_path / "out.jsonl", key)
    assert {row["source"] for row in before} >= {"demonstration", "correction"}
    assert {row["adjudicated"] for row in before} == {True, False}
    for judged in (TaskAnswer, Ranking):
        judged.objects.all().update(withdrawn_at="2026-01-01T00:00:00Z")
    made = bring(tmp_path / "out.jsonl", key, project=Project.objects.create(key="again"))
    assert (made.demonstrations, made.lines_left_out) == (len(before), 0)
    after = rows(tmp_path / "again.jsonl", key)
    assert without(after) == without(before)


@pytest.mark.parametrize("key", ["flags", "trl-kto"])
def test_flags_and_thumbs_come_back_as_they_were(home, tmp_path, key):
    ann = feedback_rows.annotator("ann")
    for number, side in enumerate(["train", "train", "held_out"]):
        made = feedback_rows.rank(ann, number, side)
        feedback_rows.flag(made, is_violation=bool(number))
        CompletionThumb.objects.create(completion=made.task.completions.first(), annotator=ann, is_up=bool(number))
    before = rows(tmp_path / "out.jsonl", key)
    Violation.objects.all().delete()
    CompletionThumb.objects.all().delete()
    Ranking.objects.all().update(guidelines_version=0)
    bring(tmp_path / "out.jsonl", key)
    assert len(before) == 3
    assert without(rows(tmp_path / "again.jsonl", key)) == without(before)
