"""The commands: a file prepared, a model made, both told as one JSON object."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from chat import policies
from fine_tuning.models import FineTune
from metering.models import Price
from tests.fine_tuning.model_configs import TINY
from tests.fine_tuning.training_files import jsonl, pairs
from tests.rlhf.policy_directories import write_policy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "no_worker")]


def told(*args):
    out = StringIO()
    call_command(*args, "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def test_a_table_is_prepared_as_jsonl(tmp_path):
    (tmp_path / "a.csv").write_text("prompt,completion\nwhat is this?,a bird\nand that,a tree\nand that,\n")
    result = told("prepare_data", str(tmp_path / "a.csv"), "--yes")
    assert result["written"] == [str(tmp_path / "a_prepared.jsonl")]
    assert [json.loads(line) for line in (tmp_path / "a_prepared.jsonl").read_text().splitlines()] == [
        {"prompt": "what is this? ->", "completion": " a bird\n"},
        {"prompt": "and that ->", "completion": " a tree\n"},
    ]
    assert next(change["code"] for change in result["changes"]) == "empty"


def test_each_change_is_shown_as_lines_of_the_file(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(jsonl({"prompt": "뭐?", "completion": ""}, {"prompt": "a", "completion": "b"}))
    call_command("prepare_data", str(tmp_path / "a.jsonl"), "--yes")
    said = capsys.readouterr().err
    assert '1: {"prompt": "뭐?", "completion": ""} -> removed' in said
    assert "None" not in said


def test_what_is_prepared_already_stays_as_it_is(tmp_path):
    (tmp_path / "a.jsonl").write_text(jsonl(*({"prompt": f"a{n} ->", "completion": f" b{n}\n"} for n in range(3))))
    assert told("prepare_data", str(tmp_path / "a.jsonl"), "--yes")["written"] == []
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["a.jsonl"]


def test_classes_are_parted_for_training_and_for_measuring(tmp_path):
    rows = ({"prompt": f"text {n}", "completion": "yes" if n % 2 else "no"} for n in range(20))
    (tmp_path / "a.jsonl").write_text(jsonl(*rows))
    written = told("prepare_data", str(tmp_path / "a.jsonl"), "--yes")["written"]
    assert [path.rpartition("_")[2] for path in written] == ["train.jsonl", "valid.jsonl"]
    train, valid = ((tmp_path / path).read_text().splitlines() for path in written)
    assert (len(train), len(valid), len({*train, *valid})) == (16, 4, 20)


def test_without_somebody_to_ask_nothing_is_changed(tmp_path):
    (tmp_path / "a.jsonl").write_text(jsonl({"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}))
    with pytest.raises(CommandError, match="--yes") as caught:
        told("prepare_data", str(tmp_path / "a.jsonl"))
    assert caught.value.returncode == 2


def test_a_bad_file_is_refused_with_its_lines(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"completion": "a"}\n?\n')
    with pytest.raises(CommandError, match="line 2") as caught:
        told("prepare_data", str(tmp_path / "a.jsonl"))
    assert caught.value.returncode == 1


def test_a_file_becomes_a_model_here_and_now(tmp_path, person, base):
    Price.objects.update_or_create(model="base", defaults={"training": 1_000_000})
    (tmp_path / "a.jsonl").write_text(pairs(20))
    result = told("fine_tune", str(tmp_path / "a.jsonl"), "--model", "base", "--epochs", "2", "--user", "mina")
    job = FineTune.objects.get()
    assert (result["state"], result["model"], result["policy"]) == (
        "succeeded",
        job.fine_tuned_model,
        job.policy.name,
    )
    assert result["cost"] == f"${job.trained_tokens / 1000:.2f}"  # what was billed
    assert set(result["comparison"]) == {"held_out", "shots", "base", "few_shot", "fine_tuned"}
    assert job.owner == person


def test_weights_that_cannot_be_trained_are_refused_with_what_can(tmp_path, person, base):
    write_policy(policies.directory(base), config={**TINY, "model_type": "qwen3"})
    (tmp_path / "a.jsonl").write_text(pairs())
    with pytest.raises(CommandError, match="scope: lora"):
        told("fine_tune", str(tmp_path / "a.jsonl"), "--model", "live", "--user", "mina", "--scope", "full")
    assert not FineTune.objects.exists()


def test_a_model_that_is_not_there(tmp_path, person, base):
    (tmp_path / "a.jsonl").write_text(pairs())
    with pytest.raises(CommandError, match="no model"):
        told("fine_tune", str(tmp_path / "a.jsonl"), "--model", "nothing", "--user", "mina")
