"""Exports hold what may train, with all that is known of it, and `load_dataset` reads each of them."""

import builtins
import hashlib
import json

import pytest

from accounts.models import AuditEntry
from feedback import seed
from feedback.models import Completion, CompletionThumb, Import, Project, Ranking, site_project
from rlhf.exports import writing
from rlhf.exports.columns import ABOUT, FORMATS
from rlhf.exports.errors import ParquetUnavailable, WouldOverwrite
from rlhf.snapshots.rows import Frozen
from tests.feedback.questions.asked_projects import answer, make_project
from tests.rlhf import feedback_rows
from tests.rlhf.command_calls import call
from tests.rlhf.exports.exported import export, rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def judgements(home):
    """Rankings, flags and thumbs of both sides."""
    ann = feedback_rows.annotator("ann")
    for number, side in enumerate(["train", "train", "train", "held_out"]):
        made = feedback_rows.rank(ann, number, side, ranks=(1, 3, 3, 2), seconds=2.5, guidelines_version=3)
        feedback_rows.flag(made)
        feedback_rows.flag(made, index=0, is_violation=False)
        CompletionThumb.objects.create(
            completion=made.task.completions.first(), annotator=ann, is_up=bool(number % 2)
        )
    return ann


@pytest.fixture
def answers(judgements):
    """Beside them, replies that somebody wrote, corrected and rated, of both sides."""
    seed.load()
    for question in ("demonstrate", "correct", "rate"):
        for side in ("train", "held_out"):
            texts, key = [f"On which side does {question} stand, is it {side}?"], f"{question}-{side}"
            make_project(question, key=key.replace("_", "-"), texts=texts, members=["ann"], side=side)
    while answer(judgements):
        pass


def load(folder, tmp_path, **options):
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"), **options)


@pytest.mark.parametrize("kind", writing.KINDS)
@pytest.mark.parametrize("key", FORMATS)
def test_load_dataset_reads_an_export_of_each_format(answers, tmp_path, key, kind):
    found = load(export(tmp_path / "out", key, kind), tmp_path)
    assert set(found) == {"train", "test"}
    assert found["train"].column_names == list(FORMATS[key])
    expected = sorted(rows(tmp_path / "all.jsonl", key), key=lambda row: row["split"] != "train")
    assert [*found["train"], *found["test"]] == expected
    assert {row["split"] for row in found["test"]} == {"held_out"}


@pytest.mark.parametrize("kind", writing.KINDS)
@pytest.mark.parametrize("key", FORMATS)
def test_an_empty_export_is_read_as_no_rows_of_the_same_columns(home, tmp_path, key, kind):
    found = load(export(tmp_path / "out", key, kind), tmp_path, streaming=True)
    assert list(found["train"]) == []
    assert list(found["train"].features) == list(FORMATS[key])


@pytest.mark.parametrize("kind", writing.KINDS)
def test_a_side_without_rows_is_not_named(home, tmp_path, kind):
    feedback_rows.rank(feedback_rows.annotator("ann"), 1)
    folder = export(tmp_path / "out", "rankings", kind)
    assert set(load(folder, tmp_path)) == {"train"}
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", f"train.{kind}"]


def test_each_row_says_who_judged_and_how(judgements, tmp_path):
    first = rows(tmp_path / "rows.jsonl", "trl-preference")[0]
    assert first["chosen"] == [{"role": "assistant", "content": feedback_rows.TEXTS[0]}]
    wanted = {"project": "site", "language": "en", "consent": "not_needed", "simulated": False, "imported_from": ""}
    assert first.items() >= {**wanted, "guidelines_version": 3, "seconds": 2.5, "weight": 1 / 6}.items()
    assert first["chosen_policy"] == "scripted"
    assert len(first["annotator"]) == 16
    assert "ann" not in json.dumps(first).replace("annotator", "")
    assert all(set(ABOUT) <= set(columns) for columns in FORMATS.values())


def test_the_order_on_the_page_is_that_of_the_pair(judgements, tmp_path):
    made = Ranking.objects.order_by("pk")[0]
    ids = list(Completion.objects.filter(task=made.task).values_list("pk", flat=True))
    Ranking.objects.filter(pk=made.pk).update(shown_order=[ids[2], ids[0], ids[3], ids[1]])
    pairs = [row for row in rows(tmp_path / "r.jsonl", "trl-preference") if row["ranking"] == str(made.pk)]
    places = {feedback_rows.TEXTS[index]: place for place, index in enumerate([2, 0, 3, 1])}
    assert [row["shown"] for row in pairs] == [
        [places[row["chosen"][0]["content"]], places[row["rejected"][0]["content"]]] for row in pairs
    ]


def test_what_may_not_train_is_not_exported(judgements, tmp_path):
    made = Ranking.objects.order_by("pk")[0]
    before = len(rows(tmp_path / "before.jsonl", "rankings"))
    Completion.objects.filter(task=made.task, index=0).update(never_train=True)
    found = rows(tmp_path / "after.jsonl", "rankings")
    assert (before, len(found)) == (4, 3)
    assert str(made.pk) not in {row["id"] for row in found}
    folder = export(tmp_path / "out", "rankings")
    assert "rankings: text_or_prompt_may_not_train | 1" in (folder / "README.md").read_text()


def test_a_project_exports_its_own_judgements(judgements, tmp_path):
    other = Project.objects.create(key="other")
    made = Ranking.objects.order_by("pk")[0]
    type(made.task).objects.filter(pk=made.task_id).update(project=other)
    for key, of_other in (("rankings", 1), ("trl-preference", 5), ("flags", 2), ("trl-kto", 1), ("sft", 1)):
        assert len(rows(tmp_path / "r.jsonl", key, project="other")) == of_other, key
        site, every = (len(rows(tmp_path / "r.jsonl", key, project=one)) for one in ("site", None))
        assert every == site + of_other


def test_the_best_completion_of_each_prompt_is_taught_once(judgements, tmp_path):
    ann = feedback_rows.annotator("bob")
    feedback_rows.rank(ann, 7, ranks=(1, 1, 1, 1))
    found = rows(tmp_path / "r.jsonl", "sft")
    assert [row["completion"][0]["content"] for row in found] == [feedback_rows.TEXTS[0]] * 4


def test_the_card_tells_counts_licence_and_hashes(judgements, tmp_path):
    folder = export(tmp_path / "out", "rankings", licence="cc-by-4.0")
    text = (folder / "README.md").read_text()
    head = text.split("---")[1]
    assert 'license: "cc-by-4.0"' in head
    sha256 = hashlib.sha256((folder / "train.jsonl").read_bytes()).hexdigest()
    assert f"| train.jsonl | {sha256} |" in text
    assert "| rows | 4 |" in text
    assert "## Agreement" not in text
    from huggingface_hub import DatasetCard

    assert DatasetCard(text).data.license == "cc-by-4.0"


def test_parquet_without_pyarrow_says_what_to_install(home, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **options):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ParquetUnavailable, match=r"chamsae\[train\]"):
        export(tmp_path / "out", "rankings", "parquet")
    assert not (tmp_path / "out").exists()
    assert (export(tmp_path / "out", "rankings") / "README.md").exists()


def test_nothing_is_overwritten(home, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(WouldOverwrite):
        export(tmp_path / "out", "rankings")


def test_the_command_writes_a_folder_or_a_file_and_an_audit_entry(judgements, tmp_path):
    code, said = call("export_judgements", "--format", "rankings", "--output", str(tmp_path / "out"))
    assert (code, said["rows"], said["held_out"]) == (0, 4, 1)
    target = ("--project", "site", "--output", str(tmp_path / "one.jsonl"))
    code, said = call("export_judgements", "--format", "rankings", *target)
    assert (code, len((tmp_path / "one.jsonl").read_text().splitlines())) == (0, 4)
    first, second = AuditEntry.objects.filter(verb="exports.make").order_by("pk")
    assert first.target == f"feedback.project:{site_project()}"
    assert (first.after["rows"], first.after["all_projects"], second.after["all_projects"]) == (4, True, False)
    assert call("export_judgements", "--format", "rankings", "--project", "none")[0] == 2
    assert call("export_judgements", "--format", "rankings", "--output", str(tmp_path / "x.parquet"))[0] == 2


# --- out and in again ---------------------------------------------------------------------------------------------


def test_an_import_is_known_as_one_everywhere(home, tmp_path):
    from tests.feedback.imports.imported_files import bring, preference, write

    bring(write(tmp_path / "f.jsonl", [preference(0), preference(1, simulated=True)]))
    line, other = Frozen(Import.objects.get().finished_at).rankings
    assert (line["imported_from"], line["consent"], line["simulated"]) == ("trl-preference", "imported", False)
    assert other["simulated"]
