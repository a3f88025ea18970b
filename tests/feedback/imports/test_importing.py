"""What an import stores: once, batch by batch, by annotators that nobody can be, on one side of the split."""

import json

import pytest
from django.contrib.auth import authenticate
from django.utils.translation import override

from accounts import notices
from accounts.models import AuditEntry, User
from base.fsck import problems
from feedback import trainable
from feedback.imports import importing, left_out
from feedback.imports.errors import AlreadyImported, ImportUnderWay, NothingToImport
from feedback.models import (
    CompletionThumb,
    Import,
    ImportedAnnotator,
    Project,
    Prompt,
    Ranking,
    RankingTask,
    Violation,
)
from tests.feedback.imports.imported_files import bring, preference, write
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path):
    return lambda rows, name="rows.jsonl": write(tmp_path / name, rows)


def test_rankings_are_stored_as_those_of_people_who_cannot_sign_in(file):
    made = bring(file([preference(1, margin=0.5, seconds=3, shown=[1, 0]), preference(2, annotator="bob@x.org")]))
    assert (made.rankings, made.lines_left_out, made.lines_done) == (2, 0, 2)
    assert made.finished_at
    first, second = Ranking.objects.order_by("pk")
    better, worse = first.task.completions.all()
    assert (better.text, worse.text) == ("Light scatters.", "No idea.")
    assert first.ranks == {str(better.pk): 1, str(worse.pk): 2}
    assert (first.shown_order, first.margins) == ([worse.pk, better.pk], [[better.pk, worse.pk, 0.5]])
    assert (first.task.policy, first.task.state, first.seconds) == (None, "done", 3)
    assert first.annotator != second.annotator
    assert not authenticate(username=first.annotator.username, password="")
    assert not first.annotator.has_usable_password()
    assert "bob" not in json.dumps(list(User.objects.values_list("username", "email")))
    assert "bob" not in json.dumps(list(ImportedAnnotator.objects.values_list("key", "source")))
    assert list(trainable.rankings().order_by("pk")) == [first, second]
    assert [found.text for found in problems() if "task" in found.text or "ranking" in found.text] == []


def test_even_with_a_password_an_imported_account_cannot_sign_in(file):
    bring(file([preference(1)]))
    user = User.objects.get(is_imported=True)
    user.set_password("a long enough password")
    user.save()
    assert authenticate(username=user.username, password="a long enough password") is None


def test_imported_prompts_are_not_asked_of_policies(file):
    bring(file([preference(1)]))
    prompt = Prompt.objects.get()
    assert prompt.source == "imported"
    assert not trainable.prompts().exists()
    assert list(trainable.judged_prompts()) == [prompt]


def test_near_duplicates_in_one_file_stand_on_one_side(file, settings):
    settings.FEEDBACK_HELD_OUT_SHARE = 0.5
    bring(file([preference(number) for number in range(40)]))
    sides = {}
    for prompt in Prompt.objects.all():
        sides.setdefault("whales" in prompt.messages[0]["content"], set()).add(prompt.split)
    assert [len(found) for found in sides.values()] == [1, 1]


def test_a_stated_side_is_kept_unless_a_near_duplicate_stands_on_the_other(file):
    bring(file([preference(1, split="held_out"), preference(3, split="train"), preference(2, split="train")]))
    assert list(Prompt.objects.order_by("pk").values_list("split", flat=True)) == ["held_out", "held_out", "train"]


def test_judgements_of_the_same_replies_share_one_task(file):
    made = bring(file([preference(1), preference(1, annotator="bob"), preference(1)]))
    assert (RankingTask.objects.count(), made.rankings) == (1, 2)
    assert made.left_out == [[3, "already_here", ""]]
    again = bring(file([preference(1), preference(1, annotator="eve")], "other.jsonl"))
    assert (RankingTask.objects.count(), again.rankings, again.lines_left_out) == (1, 1, 1)


def test_projects_do_not_share_tasks(file):
    other = Project.objects.create(key="other")
    path = file([preference(1)])
    bring(path)
    made = bring(path, project=other)
    assert (made.rankings, RankingTask.objects.filter(project=other).count()) == (1, 1)
    assert Prompt.objects.count() == 1


def test_a_file_is_stored_once(file):
    path = file([preference(1)])
    bring(path)
    with pytest.raises(AlreadyImported):
        bring(path)
    assert Ranking.objects.count() == 1


def test_an_import_that_broke_off_goes_on_where_it_stopped(file, monkeypatch):
    monkeypatch.setattr(importing, "LINES_AT_A_TIME", 2)
    path = file([preference(number) for number in range(5)])

    def stop(done, _of):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(path, on_progress=stop)
    assert (Ranking.objects.count(), Import.objects.get().lines_done, Import.objects.get().finished_at) == (
        2,
        2,
        None,
    )
    made = bring(path)
    assert (made.rankings, Ranking.objects.count(), made.lines_done, Import.objects.count()) == (5, 5, 5, 1)
    assert AuditEntry.objects.filter(verb="imports.store").count() == 1


def test_a_batch_is_stored_whole_or_not_at_all(file, monkeypatch):
    def fail(*_arguments):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("feedback.imports.writing._store_rankings", fail)
    with pytest.raises(RuntimeError):
        bring(file([preference(1)]))
    assert (Prompt.objects.count(), RankingTask.objects.count(), User.objects.filter(is_imported=True).count()) == (
        0,
    ) * 3
    assert Import.objects.get().lines_done == 0


def test_two_at_once_store_each_line_once(file, monkeypatch):
    monkeypatch.setattr(importing, "LINES_AT_A_TIME", 1)
    path = file([preference(1), preference(2)])

    def overtake(done, _of):
        if done == 1:
            Import.objects.update(lines_done=2)

    with pytest.raises(ImportUnderWay):
        bring(path, on_progress=overtake)
    assert Ranking.objects.count() == 1


def test_every_line_that_is_left_out_is_named_with_its_reason_in_both_languages(file):
    rows = [preference(1), {"prompt": 3}, preference(2, rejected="Light scatters."), preference(4)]
    made = bring(file(rows))
    assert (made.rankings, made.lines_left_out) == (2, 2)
    assert [row[:2] for row in made.left_out] == [[2, "missing"], [3, "same_text"]]
    assert [one.line for one in left_out.listed(made)] == [2, 3]
    english = [one.reason for one in left_out.listed(made)]
    with override("ko"):
        korean = [one.reason for one in left_out.listed(made)]
    assert all(one != other for one, other in zip(english, korean, strict=True))


def test_a_file_of_another_format_changes_nothing(file):
    with pytest.raises(NothingToImport) as caught:
        bring(file([preference(1)]), key="oasst")
    assert "1: " in str(caught.value)
    assert not Import.objects.exists()


def test_flags_find_their_rule_by_key_and_wording(file):
    version = feedback_rows.rule("human")
    base = {"prompt": "Why?", "completion": {"text": "I feel."}, "label": True, "annotator": "ann"}
    rows = [
        {**base, "rule": "human", "rule_text": version.text_en},
        {**base, "rule": "human", "rule_text": "Another wording."},
        {**base, "rule": "unknown"},
        {**base, "rule": "human", "label": False, "annotator": "bob"},
    ]
    made = bring(file(rows), key="flags")
    assert made.flags == 2
    assert [row[:2] for row in made.left_out] == [[2, "other_wording"], [3, "unknown_rule"]]
    assert list(Violation.objects.order_by("pk").values_list("is_violation", flat=True)) == [True, False]
    assert trainable.violations().count() == 2


def test_thumbs_train_as_labels_of_one_reply(file):
    rows = [{"prompt": "Why?", "completion": "So.", "label": up, "annotator": str(up)} for up in (True, False)]
    made = bring(file(rows), key="trl-kto")
    assert (made.thumbs, CompletionThumb.objects.count(), trainable.completion_thumbs().count()) == (2, 2, 2)


def test_queries_do_not_grow_with_the_lines_of_known_prompts(file, django_assert_max_num_queries):
    bring(file([preference(number) for number in range(30)]))
    rows = [preference(number, annotator=f"p{number % 2}") for number in range(30)]
    with django_assert_max_num_queries(45):
        bring(file(rows, "again.jsonl"))


def test_imported_people_get_no_notices(file):
    bring(file([preference(1)]))
    chatter = feedback_rows.annotator("chatter")
    assert list(notices._reachable()) == [chatter]
