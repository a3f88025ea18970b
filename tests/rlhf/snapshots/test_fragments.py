"""Replies that were cut at the longest length are in no snapshot, and it is said where they are too many."""

import json

import pytest

from feedback.models import Completion
from rlhf.runs import preflight
from rlhf.snapshots import fragments, freezing
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db


def cut(ranking, *places):
    Completion.objects.filter(task=ranking.task, index__in=places).update(finish_reason="length")


def lines(name="rankings.jsonl"):
    return [json.loads(line) for line in (freezing.freeze().path / name).read_text().splitlines()]


def test_a_ranking_keeps_its_whole_replies_with_their_ranks_and_places(ann):
    made = feedback_rows.rank(ann, 1, ranks=(4, 1, 3, 2))
    ids = list(made.task.completions.order_by("index").values_list("pk", flat=True))
    made.shown_order = [ids[3], ids[1], ids[0], ids[2]]
    made.save()
    cut(made, 1)
    (line,) = lines()
    assert [one["text"] for one in line["completions"]] == [feedback_rows.TEXTS[place] for place in (0, 2, 3)]
    assert line["ranks"] == [4, 3, 2]
    assert line["shown"] == [2, 0, 1]
    pairs = {(one["chosen"][0]["content"], one["rejected"][0]["content"]) for one in lines("preferences.jsonl")}
    first, _, third, fourth = feedback_rows.TEXTS
    assert pairs == {(fourth, third), (fourth, first), (third, first)}


def test_one_with_a_single_whole_reply_is_left_out_and_is_no_new_one(ann):
    left, kept = feedback_rows.rank(ann, 1), feedback_rows.rank(ann, 2)
    cut(left, 0, 1, 2)
    snapshot = freezing.freeze()
    assert snapshot.ranking_ids == [kept.pk]
    assert snapshot.rankings_left_out == [left.pk]


def test_flags_on_fragments_are_left_out(ann):
    made = feedback_rows.rank(ann, 1)
    feedback_rows.flag(made, index=0, is_violation=False)
    feedback_rows.flag(made, index=1)
    cut(made, 1)
    assert [line["completion"]["text"] for line in lines("violations.jsonl")] == [feedback_rows.TEXTS[0]]


def test_a_site_may_keep_them(ann, settings):
    settings.FEEDBACK_FRAGMENTS = True
    made = feedback_rows.rank(ann, 1)
    feedback_rows.flag(made, index=1)
    cut(made, 0, 1, 2)
    assert len(lines()[0]["completions"]) == 4
    assert len(lines("violations.jsonl")) == 1


# --- before a cycle -----------------------------------------------------------------------------------------------


def test_nine_whole_replies_in_ten_are_enough_and_those_left_out_count(ann, settings):
    settings.FEEDBACK_COMPLETION_TOKENS = 96
    made = [feedback_rows.rank(ann, number) for number in range(9)]
    Completion.objects.filter(task=made[0].task).update(parameters={"left_out": 4})
    assert fragments.count() == fragments.WholeShare(whole=36, cut=4)
    assert preflight.check().cut == ""
    cut(made[1], 3)
    assert fragments.count() == fragments.WholeShare(whole=35, cut=5)
    warning = preflight.check().cut
    assert "Only 87 %" in warning
    assert "within 96 tokens" in warning
    assert "CHAMSAE_MAX_COMPLETION_TOKENS" in warning
    settings.FEEDBACK_FRAGMENTS = True
    assert preflight.check().cut == ""


def test_without_rankings_there_is_nothing_to_warn_of():
    assert fragments.count().share is None
    assert fragments.count().warning == ""
