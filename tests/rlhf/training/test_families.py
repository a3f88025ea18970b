"""Bases of other families than Llama go through every stage, from the reward model to the evaluation."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from rlhf.training.artefacts import checkpoints, policy_adapter
from rlhf.training.evaluation import stage as evaluate
from rlhf.training.model import choice
from rlhf.training.model.adapter import Adapter
from rlhf.training.policy import stage as policy_stage
from rlhf.training.reward import cross_fit
from rlhf.training.reward import stage as reward_model_stage
from tests.rlhf.training.families import make_family_policy
from tests.rlhf.training.planted import write_snapshot
from tests.rlhf.training.policy.ways import EVERY, PPO
from tests.rlhf.training.small_runs import ASKED, FEW, directory

pytestmark = [pytest.mark.loops, pytest.mark.timeout(600)]


class Made:
    """A base of a family with a snapshot and a reward model."""

    def __init__(self, root: Path, family: str) -> None:
        self.root, self.family = root, family
        self.base = make_family_policy(root / "base", family)
        self.snapshot = write_snapshot(root / "s", rankings=8, held_out=8)
        self.given = {"base": str(self.base), "snapshot": str(self.snapshot)}
        self.reward_model = root / "rm/out"
        self.facts = reward_model_stage.run(
            directory(root / "rm", output=str(self.reward_model), hyperparameters=FEW, **self.given)
        )

    def train(self, path: Path, algorithm: str, values: dict[str, Any], **further: Any) -> dict[str, Any]:
        given = {**self.given, "reward_model": str(self.reward_model), "output": str(path / "policy"), **further}
        return policy_stage.run(directory(path, algorithm=algorithm, hyperparameters=values, **given))


@pytest.fixture(scope="module", params=["qwen3", "gemma2", "gpt_neox"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp(request.param), request.param)


def test_a_cycle_ends_in_a_measured_policy(made: Made, tmp_path: Path) -> None:
    assert made.facts["rankings"] == 8
    assert made.train(tmp_path / "first", "ppo", PPO)["steps"] == 2
    policy = tmp_path / "first/policy"
    files = set(checkpoints.verify(policy)["files"])
    assert {"model.safetensors", "adapter/adapter_model.safetensors", "tokenizer.json", "config.json"} <= files
    served = {"policy.gguf", "served.json"}
    assert files & served == (served if made.family == "qwen3" else set())  # what llama.cpp answers with
    assert_merged(made.base, policy)
    judge = directory(tmp_path / "judge", output=str(tmp_path / "judge/out"), hyperparameters=FEW | {"min_labels": 2},
                      splits=["held_out"], **made.given)  # fmt: skip
    assert cross_fit.run(judge)["prompt_folds"] >= 2
    again = made.train(tmp_path / "second", "ppo", PPO, start=str(policy), watch=str(tmp_path / "judge/out"))
    assert again["goes_on_from"] == "policy"
    report = evaluate.run(
        directory(
            tmp_path / "evaluation",
            policy=str(tmp_path / "second/policy"),
            baseline=str(policy),
            base=str(policy),
            anchor=str(made.base),
            reward_model=str(made.reward_model),
            judge={"kind": "reward_model", "directory": str(tmp_path / "judge/out")},
            hyperparameters=ASKED,
            snapshot=str(made.snapshot),
        )
    )
    assert 0 <= report["win_rate_low"] <= report["win_rate"] <= report["win_rate_high"] <= 1
    assert report["perplexity"] > 1
    assert report["anchor_kl_nats"] != 0, "an estimate from few samples, which may be below 0"


def assert_merged(base: Path, policy: Path) -> None:
    """transformers reads the weights, which are the base's with the adapter in them."""
    before, after = load_file(base / "model.safetensors"), load_file(policy / "model.safetensors")
    assert before.keys() == after.keys()
    found = policy_adapter.read(policy)
    assert found is not None
    assert found.layers == (2, 3)
    decoder = choice.load(base, adapted_layers=2)
    assert decoder.backend == "transformers"
    adapter = Adapter.load(found.directory, decoder)
    exact = adapter.merged_matrices(before)
    assert all(torch.equal(after[name], exact[name].bfloat16() if name in exact else before[name]) for name in before)
    assert any(not torch.equal(after[name], before[name]) for name in exact)
    model = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32)
    weights = model.state_dict()
    assert all(torch.equal(weights[name], after[name].float()) for name in exact)


@pytest.mark.parametrize(("algorithm", "values"), EVERY[1:])
@pytest.mark.parametrize("made", ["qwen3"], indirect=True)
def test_every_other_way_trains_it(made: Made, tmp_path: Path, algorithm: str, values: dict[str, Any]) -> None:
    result = made.train(tmp_path, algorithm, values)
    assert result["algorithm"] == algorithm
    assert_merged(made.base, tmp_path / "policy")


@pytest.mark.parametrize("made", ["qwen3"], indirect=True)
def test_a_result_names_what_computed_it(made: Made, tmp_path: Path) -> None:
    run = directory(tmp_path, output=str(tmp_path / "out"), hyperparameters=FEW, **made.given, dtype="fp32")
    subprocess.run([sys.executable, "-m", "rlhf.training", "reward_model", str(run.path)], check=True)
    result = json.loads((tmp_path / "result.json").read_text())
    assert [result[key] for key in ("backend", "device", "dtype")] == ["transformers", "cpu", "float32"]
