"""PPO on the prompts of a file: what it is told in the words of a fine-tune, and what it leaves."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlhf.training.artefacts import card, checkpoints
from rlhf.training.fine_tuning import stage
from rlhf.training.fine_tuning.reinforcement import PpoSchedule
from rlhf.training.fine_tuning.rows import read_prompts
from rlhf.training.hyperparameters import BadHyperparameter
from rlhf.training.model.transformer import Transformer
from rlhf.training.reward import stage as reward_model_stage
from rlhf.training.reward.model import OtherBase
from rlhf.training.run import RunDirectory, Stopped
from tests.rlhf.training.fine_tuning.run_directories import CHATS, PAIRS, PREFERENCES, fine_tune, metrics, write
from tests.rlhf.training.planted import write_snapshot
from tests.rlhf.training.policy.live_adapters import publish, updated
from tests.tiny import make_tiny_policy

PPO = {
    "n_epochs": 2,
    "batch_size": 4,
    "completions_per_prompt": 2,
    "max_tokens": 8,
    "minibatch_rows": 4,
    "calibration_prompts": 4,
    "rank": 2,
    "stop_kl": 50.0,
}


@pytest.fixture(scope="module")
def judge(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("judge")
    snapshot = write_snapshot(root / "s", rankings=8, held_out=2)
    config = {"base": str(tiny), "snapshot": str(snapshot), "output": str(root / "rm")}
    config["hyperparameters"] = {"adapted_layers": 2, "rank": 2, "epochs": 1}
    (root / "config.json").write_text(json.dumps(config))
    reward_model_stage.run(RunDirectory(root))
    return root / "rm"


def prepared(folder: Path, tiny: Path, judge: Path, **config: object) -> RunDirectory:
    values = {"form": "messages", "hyperparameters": PPO, "reward_model": str(judge), "method": "reinforcement"}
    return fine_tune(folder, tiny, **(values | config))


def test_prompts_become_a_policy_with_the_scores_of_both_sides(tiny: Path, judge: Path, tmp_path: Path) -> None:
    result = stage.run(prepared(tmp_path, tiny, judge, label="tiny:ft-personal"))
    assert checkpoints.verify(tmp_path / "tuned")["tensors"] == checkpoints.verify(tiny)["tensors"]
    assert {"reinforcement", "lora"} <= set(card.front_matter(tmp_path / "tuned")["tags"])
    found = result["comparison"]
    assert found["held_out"] == 1  # of 12 prompts
    # that the one reply is another one after so short a training would be chance
    assert all(math.isfinite(found[side]["score"]) for side in ("base", "fine_tuned"))
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny, tmp_path / "tuned"))
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert found["samples"][0]["base"]
    assert (result["n_epochs"], result["batch_size"], result["steps"]) == (2, 4, 6)
    told = metrics(tmp_path)
    assert [line["values"]["epochs_done"] for line in told] == [0, 0, 1, 1, 1, 2]
    assert [line["epoch"] for line in result["checkpoints"]] == [1, 2]
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert int(rows[-1]["elapsed_tokens"]) == result["trained_tokens"]


def test_a_stopped_one_goes_on(tiny: Path, judge: Path, tmp_path: Path) -> None:
    directory = prepared(tmp_path, tiny, judge)
    report = directory.report
    directory.report = lambda *told: (report(*told), directory.stop())  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        stage.run(directory)
    assert not (tmp_path / "tuned").exists()
    assert stage.run(RunDirectory(tmp_path))["steps"] == 6
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_a_model_from_an_adapter_policy_is_rewarded_by_the_reward_model_over_the_base_below(
    tiny: Path, judge: Path, tmp_path: Path
) -> None:
    live = publish(tmp_path / "live", tiny, updated(Transformer.load(tiny, adapted_layers=2), 0.05))
    stranger = make_tiny_policy(tmp_path / "stranger", seed=5)
    with pytest.raises(OtherBase):
        stage.run(prepared(tmp_path, stranger, judge))
    result = stage.run(prepared(tmp_path, live, judge, root=str(tiny)))
    assert result["steps"] == 6
    assert not (tmp_path / "tuned/adapter").exists()  # it is a base of its own


def test_only_adapters_are_trained_so(tiny: Path, judge: Path, tmp_path: Path) -> None:
    with pytest.raises(BadHyperparameter, match="scope"):
        stage.run(prepared(tmp_path, tiny, judge, scope="full"))


def test_a_fine_tune_s_words_are_said_in_ppo_s() -> None:
    schedule = PpoSchedule.read({"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 0.5, "beta": 0.2}, 20)
    assert (schedule.ppo.iterations, schedule.ppo.prompts_per_iteration) == (8, 8)
    assert (schedule.ppo.learning_rate, schedule.ppo.kl_coef) == (2.5e-4, 0.2)
    assert schedule.n_epochs == 3
    plain = PpoSchedule.read({"n_epochs": None, "beta": "auto"}, 5)
    assert (plain.ppo.prompts_per_iteration, plain.ppo.kl_coef) == (5, 0.05)
    with pytest.raises(BadHyperparameter, match="shots"):
        PpoSchedule.read({"shots": 3}, 5)


@pytest.mark.parametrize("form", ["prompt_completion", "messages", "preference"])
def test_what_answers_a_prompt_is_left_out(tmp_path: Path, form: str) -> None:
    rows = {"prompt_completion": PAIRS, "messages": CHATS, "preference": PREFERENCES}[form]
    found = read_prompts(write(tmp_path / "x.jsonl", rows), form)[0]
    assert found.completion == ""
    wanted = {
        "prompt_completion": "What is star? ->",
        "messages": tuple((turn["role"], turn["content"]) for turn in CHATS[0]["messages"][:-1]),
        "preference": (("user", "What is star?"),),
    }[form]
    assert found.prompt == wanted
