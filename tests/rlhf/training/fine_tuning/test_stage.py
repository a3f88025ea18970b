"""A file becomes a policy that says what the file says; a kill costs time and nothing else."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf.training import run
from rlhf.training.artefacts import card, checkpoints
from rlhf.training.artefacts.resume import CheckpointMismatch
from rlhf.training.fine_tuning import stage
from rlhf.training.fine_tuning.config import SCOPES
from rlhf.training.fine_tuning.results import COLUMNS
from rlhf.training.hyperparameters import BadHyperparameter
from rlhf.training.model.choice import DTYPES
from rlhf.training.run import RunDirectory, Stopped
from tests.rlhf.training.fine_tuning.run_directories import PAIRS, WORDS, fine_tune, metrics, write


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "tuned" / "model.safetensors")


@pytest.mark.parametrize("scope", SCOPES)
def test_each_scope_ends_in_a_whole_policy(tiny: Path, tmp_path: Path, scope: str) -> None:
    facts = {"file": "guide.jsonl", "base": ["tiny", "its parent"]}
    directory = fine_tune(tmp_path, tiny, scope=scope, label="tiny:ft-personal", facts=facts)
    result = stage.run(directory)
    folder = tmp_path / "tuned"
    files = checkpoints.verify(folder)["files"]
    assert set(files) == {*checkpoints.verify(tiny)["files"], "served.json"}
    assert {tensor.dtype for tensor in weights(tmp_path).values()} == {torch.bfloat16}
    config = json.loads((folder / "config.json").read_text())
    assert config["tie_word_embeddings"] is (scope != "head")
    text = (folder / "README.md").read_text()
    assert "# tiny:ft-personal" in text
    assert all(part in text for part in ("guide.jsonl", "its parent", "held out: base", "held out: few_shot"))
    front = card.front_matter(folder)
    assert (front["license"], front["base_model"]) == ("apache-2.0", tiny.name)
    assert {"fine-tune", "supervised", scope} <= set(front["tags"])
    assert result["parameters"] > result["parameters_trained"] or scope == "full"
    assert result["eval_loss"] == result["checkpoints"][-1]["eval_loss"]
    assert result["comparison"]["held_out"] == result["held_out_rows"] == 1
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)  # as anybody would load it
    assert torch.equal(model.lm_head.weight, model.model.embed_tokens.weight) is (scope != "head")


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_a_llama_is_computed_in_the_type_that_was_asked_for(
    tiny: Path, tmp_path: Path, scope: str, dtype: str
) -> None:
    directory = fine_tune(tmp_path, tiny, scope=scope, backend="llama", dtype=dtype)
    assert stage.Task(directory).learner.transformer.dtype == DTYPES[dtype]


@pytest.fixture(scope="module")
def learnt(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """(run directory, result) of a run that is asked the very lines that it learns."""
    folder = tmp_path_factory.mktemp("learnt")
    path = write(folder / "validation.jsonl", PAIRS)
    values = {"n_epochs": 30, "batch_size": 2, "rank": 8, "learning_rate_multiplier": 0.6}
    return folder, stage.run(fine_tune(folder, tiny, validation=str(path), hyperparameters=values))


def test_a_file_is_learnt_by_heart_and_the_comparison_shows_it(learnt: tuple[Path, dict]) -> None:
    folder, result = learnt
    found = result["comparison"]
    assert found["held_out"] == len(PAIRS)
    assert found["fine_tuned"]["exact_match"] >= 0.9
    assert found["base"]["exact_match"] == found["few_shot"]["exact_match"] == 0
    assert 0 < found["shots"] <= 8
    assert found["fine_tuned"]["loss"] < 0.2 < found["base"]["loss"]
    first = found["samples"][0]
    assert first["prompt"] == "What is star? ->"
    assert first["wanted"] == first["fine_tuned"] == "gas and star"
    told = metrics(folder)
    assert told[0]["step"] == 0
    assert told[0]["values"]["eval/loss"] == pytest.approx(found["base"]["loss"], rel=0.02)
    assert result["eval_loss"] == pytest.approx(found["fine_tuned"]["loss"], abs=0.1)  # fp32 and merged bf16


def test_what_is_published_answers_by_another_library(learnt: tuple[Path, dict]) -> None:
    folder, _ = learnt
    tokenizer = AutoTokenizer.from_pretrained(folder / "tuned")
    model = AutoModelForCausalLM.from_pretrained(folder / "tuned", dtype=torch.float32)
    right = 0
    for pair in PAIRS:
        prompt = tokenizer(pair["prompt"], return_tensors="pt", add_special_tokens=False)
        written = model.generate(**prompt, max_new_tokens=40, do_sample=False)[0, prompt["input_ids"].shape[1] :]
        ended = written[-1] == tokenizer.eos_token_id
        right += bool(ended) and tokenizer.decode(written, skip_special_tokens=True) == pair["completion"]
    assert right >= 11


def test_curves_and_the_csv_tell_every_step(tiny: Path, tmp_path: Path) -> None:
    directory = fine_tune(tmp_path, tiny)  # 12 rows: 11 learnt, 1 held out; batches of 4
    result = stage.run(directory)
    told = metrics(tmp_path)
    assert [line["step"] for line in told] == [0, 1, 2, 3, 4, 5, 6]
    assert {line["steps"] for line in told} == {6}
    assert [line["values"]["epochs_done"] for line in told] == [0, 0, 0, 1, 1, 1, 2]
    assert [line["values"]["epoch"] for line in told][1] == pytest.approx(1 / 3, abs=1e-3)
    assert all("eval/loss" in line["values"] for line in told if line["step"] in (0, 3, 6))
    for name in ("train/loss", "train/token_accuracy", "train/learning_rate", "num_tokens", "n_epochs"):
        assert name in told[-1]["values"]
    rates = [line["values"]["train/learning_rate"] for line in told[1:]]
    assert rates.index(max(rates)) == 1
    assert rates[-1] == pytest.approx(max(rates) / 5)
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [int(row["elapsed_examples"]) for row in rows] == [4, 8, 11, 15, 19, 22]
    assert [bool(row["validation_loss"]) for row in rows] == [False, False, True, False, False, True]
    assert float(rows[-1]["training_loss"]) == pytest.approx(told[-1]["values"]["train/loss"], abs=1e-5)
    assert int(rows[-1]["elapsed_tokens"]) == result["trained_tokens"] == told[-1]["values"]["num_tokens"]
    assert len(result["checkpoints"]) == 2


def test_every_token_of_a_row_is_counted_in_every_epoch(tiny: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    rows = [*PAIRS[:3], {"prompt": "", "completion": "Once"}]
    result = stage.run(fine_tune(tmp_path, tiny, rows=rows))
    count = sum(len(tokenizer(row[side])["input_ids"]) for row in rows for side in ("prompt", "completion")) + len(
        rows
    )
    assert result["trained_tokens"] == 2 * count
    assert result["comparison"] is None  # too few rows to keep any back
    assert result["eval_loss"] is None


def test_null_and_auto_are_chosen_by_the_data(tiny: Path, tmp_path: Path) -> None:
    values = {"n_epochs": None, "batch_size": "auto", "learning_rate_multiplier": None, "rank": 2}
    result = stage.run(fine_tune(tmp_path, tiny, rows=PAIRS[:2], hyperparameters=values))
    assert (result["batch_size"], result["learning_rate_multiplier"]) == (1, 1.0)
    assert result["n_epochs"] == 15


@pytest.mark.parametrize("scope", SCOPES)
def test_a_killed_run_goes_on_to_exactly_the_same_weights(tiny: Path, tmp_path: Path, scope: str) -> None:
    """Dies in the middle of the second epoch, after a step that no checkpoint knows."""
    stage.run(fine_tune(tmp_path / "whole", tiny, scope=scope))
    directory = fine_tune(tmp_path / "killed", tiny, scope=scope, hyperparameters={"checkpoint_seconds": 0.0})
    report = directory.report

    def dies(step: int, steps: int, values: dict) -> None:
        report(step, steps, values)
        if step == 5:
            raise InterruptedError

    directory.report = dies  # type: ignore[method-assign, assignment]
    with pytest.raises(InterruptedError):
        stage.run(directory)
    stage.run(RunDirectory(tmp_path / "killed"))
    same, whole = weights(tmp_path / "killed"), weights(tmp_path / "whole")
    assert all(torch.equal(same[name], whole[name]) for name in whole)
    assert [line["step"] for line in metrics(tmp_path / "killed")] == list(range(7))  # none told twice
    assert (tmp_path / "killed" / "results.csv").read_text() == (tmp_path / "whole" / "results.csv").read_text()


@pytest.mark.fault
@pytest.mark.timeout(400)
def test_a_process_killed_in_the_middle_of_an_epoch_resumes(tiny: Path, tmp_path: Path) -> None:
    values = {"n_epochs": 20, "batch_size": 1, "checkpoint_seconds": 0.05}
    stage.run(fine_tune(tmp_path / "whole", tiny, hyperparameters=values))
    directory = fine_tune(tmp_path / "killed", tiny, hyperparameters=values)
    command = [sys.executable, "-m", "rlhf.training", "fine_tune", str(directory.path)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    wait_for_step(directory.path, 5)
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert not (tmp_path / "killed" / "tuned").exists()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    begun = max(line["step"] for line in metrics(directory.path))
    wait_for_step(directory.path, begun + 5)
    process.terminate()
    assert process.wait(30) == run.STOPPED
    assert subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == run.DONE
    same, whole = weights(tmp_path / "killed"), weights(tmp_path / "whole")
    assert all(torch.equal(same[name], whole[name]) for name in whole)
    assert [line["step"] for line in metrics(directory.path)] == list(range(20 * 11 + 1))
    assert not directory.checkpoint.exists()


def wait_for_step(folder: Path, step: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if (folder / "metrics.jsonl").exists() and len((folder / "metrics.jsonl").read_text().splitlines()) > step:
            return
        time.sleep(0.02)
    raise AssertionError("no step came")


def test_a_stop_leaves_no_policy_and_a_checkpoint_of_safetensors(tiny: Path, tmp_path: Path) -> None:
    directory = fine_tune(tmp_path, tiny)
    report = directory.report
    directory.report = lambda *told: (report(*told), directory.stop())  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        stage.run(directory)
    assert not (tmp_path / "tuned").exists()
    kinds = {path.suffix for path in directory.checkpoint.rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".json"}
    assert stage.run(RunDirectory(tmp_path))["trained_tokens"] > 0


def test_a_checkpoint_of_other_data_is_refused(tiny: Path, tmp_path: Path) -> None:
    directory = fine_tune(tmp_path, tiny)
    report = directory.report
    directory.report = lambda *told: (report(*told), directory.stop())  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        stage.run(directory)
    write(tmp_path / "data.jsonl", PAIRS[:11])
    with pytest.raises(CheckpointMismatch, match="data"):
        stage.run(RunDirectory(tmp_path))


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"scope": "everything"}, "scope"),
        ({"method": "magic"}, "method"),
        ({"method": "dpo"}, "form"),
        ({"hyperparameters": {"n_epochs": 0}}, "n_epochs"),
        ({"hyperparameters": {"batch_size": 1.5}}, "batch_size"),
        ({"hyperparameters": {"learning_rate_multiplier": -1}}, "learning_rate_multiplier"),
        ({"hyperparameters": {"momentum": 1}}, "momentum"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(tiny: Path, tmp_path: Path, config: dict, field: str) -> None:
    with pytest.raises(BadHyperparameter) as caught:
        stage.run(fine_tune(tmp_path, tiny, **config))
    assert caught.value.field == field


def test_a_loss_that_is_no_number_ends_the_run_by_name(tiny: Path, tmp_path: Path) -> None:
    values = {"learning_rate_multiplier": 1e30, "max_grad_norm": 1e30}
    fine_tune(tmp_path, tiny, scope="full", hyperparameters=values)
    assert run.execute(stage.run, tmp_path) == run.FAILED
    assert json.loads((tmp_path / "error.json").read_text())["code"] == "diverged"
    assert not (tmp_path / "tuned").exists()


@pytest.mark.parametrize("scope", ["lora", "full"])
def test_dpo_comes_to_prefer_what_is_chosen(tiny: Path, tmp_path: Path, scope: str) -> None:
    values = {"n_epochs": 6, "batch_size": 4, "rank": 4}
    result = stage.run(
        fine_tune(tmp_path, tiny, form="preference", method="dpo", scope=scope, hyperparameters=values)
    )
    told = metrics(tmp_path)
    assert told[0]["values"]["eval/loss"] == pytest.approx(0.6931, abs=1e-3)
    assert told[-1]["values"]["train/reward_accuracy"] == 1.0
    assert told[0]["values"]["eval/reward_margin"] == pytest.approx(0.0, abs=1e-3)
    assert told[-1]["values"]["eval/reward_margin"] > 0.3
    base, tuned = result["comparison"]["base"], result["comparison"]["fine_tuned"]
    assert tuned["lead_nats"] > base["lead_nats"] + 0.3
    assert tuned["preferred"] == 1.0 >= base["preferred"]
    assert result["eval_loss"] < 0.5
    assert card.front_matter(tmp_path / "tuned")["tags"][1:4] == ["fine-tune", "dpo", scope]
    assert len(WORDS) - 1 == result["rows"]
