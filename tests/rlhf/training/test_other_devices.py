"""No tensor is left behind on the CPU where models are computed on another device; the figures are the CPU's."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf.training.evaluation import stage as evaluate
from rlhf.training.fine_tuning import stage as fine_tune
from rlhf.training.policy import stage as policy_stage
from rlhf.training.reward import cross_fit
from rlhf.training.reward import stage as reward_model_stage
from tests.rlhf.training.elsewhere import DEVICE, MixedDevices, elsewhere
from tests.rlhf.training.families import make_family_policy
from tests.rlhf.training.planted import JUDGE, write_snapshot
from tests.rlhf.training.policy.ways import BEST, FITTED, PPO
from tests.rlhf.training.small_runs import ASKED, FEW, directory
from tests.tiny import make_tiny_policy

pytestmark = [pytest.mark.loops, pytest.mark.timeout(600)]


def test_tensors_of_two_devices_do_not_meet_unseen() -> None:
    with elsewhere() as device:
        one = torch.ones(3, device=device)
        assert float((one + 1).sum() * torch.tensor(2.0)) == 12.0
        assert one[torch.tensor([0, 2])].device == DEVICE
        with pytest.raises(MixedDevices):
            one + torch.ones(3)
        with pytest.raises(MixedDevices):
            torch.cat([one, torch.ones(3)])
        with pytest.raises(MixedDevices):
            torch.zeros(3)[torch.tensor([0, 2])] = one[:2]
        with pytest.raises(MixedDevices):
            torch.zeros(3)[torch.tensor([0, 2], device=device)]
        one[torch.tensor([0, 2])] = torch.tensor(5.0)
        assert one.tolist() == [5.0, 1.0, 5.0]


class Both:
    """Runs a stage here and there, by one backend, and compares what it found."""

    def __init__(self, root: Path, backend: str) -> None:
        self.root, self.backend = root, backend
        make = make_tiny_policy if backend == "llama" else _gemma
        self.base, self.other = (make(root / name, seed=seed) for seed, name in enumerate(("base", "other")))
        self.snapshot = write_snapshot(root / "s", rankings=6, held_out=6)
        self.reward_model = self.root / "here/rm/out"

    def run(self, name: str, stage: Any, **config: Any) -> None:
        here = self._figures("here", "cpu", name, stage, config)
        with elsewhere() as device:
            there = self._figures("there", device, name, stage, config)
        assert len(here) > 3
        assert there == pytest.approx(here, abs=0.02, rel=0.02, nan_ok=True)

    def _figures(self, side: str, device: str, name: str, stage: Any, config: dict[str, Any]) -> dict[str, float]:
        path = self.root / side / name
        given = {"base": str(self.base), "snapshot": str(self.snapshot), "output": str(path / "out")}
        where = {"backend": self.backend, "device": device, "dtype": "fp32"}
        found = stage(directory(path, **given, **where, **config))
        return {key: one for key, one in found.items() if isinstance(one, int | float) and "seconds" not in key}


def _gemma(path: Path, seed: int) -> Path:
    return make_family_policy(path, "gemma2", seed=seed)


@pytest.fixture(scope="module", params=["transformers", "llama"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    made = Both(tmp_path_factory.mktemp("devices"), request.param)
    made.run("rm", reward_model_stage.run, hyperparameters=FEW | {"ensemble": 2}, judge=JUDGE)
    return made


def test_a_judge(both: Both) -> None:
    both.run("judge", cross_fit.run, hyperparameters=FEW | {"min_labels": 2}, splits=["held_out"])


@pytest.mark.parametrize(
    ("algorithm", "values"), [("ppo", PPO), ("dpo", FITTED), ("sft", FITTED), ("best_of_n", BEST)]
)
def test_a_policy(both: Both, algorithm: str, values: dict[str, Any]) -> None:
    given = {"reward_model": str(both.reward_model), "algorithm": algorithm, "hyperparameters": values}
    watch = {"watch": str(both.reward_model)} if algorithm == "ppo" else {}
    both.run(algorithm, policy_stage.run, **given, **watch)


def test_an_evaluation(both: Both) -> None:
    sides = {"policy": str(both.other), "baseline": str(both.base), "reward_model": str(both.reward_model)}
    judge = {"kind": "reward_model", "directory": str(both.reward_model)}
    both.run("evaluation", evaluate.run, hyperparameters=ASKED, judge=judge, **sides)


def test_a_fine_tune(both: Both) -> None:
    rows = both.root / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"{n} is", "completion": f" {n}."}) + "\n" for n in range(12)))
    few = {"n_epochs": 1, "batch_size": 4, "rank": 2, "layers": 2}
    asked = {"method": "supervised", "scope": "lora", "form": "prompt_completion", "data": str(rows)}
    both.run("fine_tune", fine_tune.run, hyperparameters=few, **asked)
