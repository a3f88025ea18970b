"""Run directories of the stages that several processes can share, with settings that are quick.

Draws are chosen so that none is close to where another token begins: a rounding would make it another one.
"""

import json
from pathlib import Path
from typing import Any

from rlhf.training import run
from rlhf.training.fine_tuning import stage as fine_tune_stage
from rlhf.training.policy import stage as policy_stage
from rlhf.training.reward import cross_fit
from rlhf.training.reward import stage as reward_stage
from tests.rlhf.training.fine_tuning.run_directories import CHATS, write
from tests.rlhf.training.planted import write_snapshot

STEPS = 20
REWARD_MODEL = {
    "adapted_layers": 2,
    "rank": 4,
    "epochs": 2,
    "rankings_per_step": 3,
    "log_every": 1,
    "checkpoint_every": 2,
    "max_completion_tokens": 99,
}
SFT = {
    "rank": 2,
    "max_tokens": 12,
    "adapted_layers": 2,
    "n_epochs": 4,
    "batch_size": 5,
    "learning_rate": 1e-3,
    "temperature": 0.3,
    "stop_kl": 50.0,
    "kl_prompts": 3,
    "kl_checks": 2,
    "checkpoint_seconds": 0.0,
}
PPO = {
    "iterations": STEPS,
    "prompts_per_iteration": 2,
    "completions_per_prompt": 2,
    "max_tokens": 6,
    "minibatch_rows": 3,
    "temperature": 0.3,
    "calibration_prompts": 3,
    "rank": 2,
    "learning_rate": 1e-3,
    "stop_kl": 50.0,
    "alarm_patience": 0,
}
FINE_TUNE = {"n_epochs": 8, "batch_size": 5, "rank": 2}
CHILD_STAGES = {
    "reward_model": "reward_model",
    "judge": "judge",
    "sft": "policy",
    "ppo": "policy",
    "fine_tune": "fine_tune",
}
MODULES = {"reward_model": reward_stage, "judge": cross_fit, "policy": policy_stage, "fine_tune": fine_tune_stage}


class Trainings:
    """Run directories of one base and one snapshot."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder, self.base = folder, base
        self.snapshot = write_snapshot(folder / "snapshot", rankings=30)
        self.reward_model = folder / "reward"
        self._alone: dict[tuple[str, str], Path] = {}

    def alone(self, stage: str, backend: str) -> Path:
        """Trained by this process, once."""
        if (stage, backend) not in self._alone:
            self._alone[stage, backend] = train(self.configured(stage, f"{stage}-{backend}", backend), stage)
        return self._alone[stage, backend]

    def configured(self, stage: str, name: str, backend: str, **changes: Any) -> Path:
        path = self.folder / name
        path.mkdir()
        (path / "config.json").write_text(json.dumps({**self.config(stage, path, backend), **changes}))
        return path

    def config(self, stage: str, path: Path, backend: str) -> dict[str, Any]:
        made: dict[str, dict[str, Any]] = {
            "reward_model": {"splits": ["train"], "hyperparameters": REWARD_MODEL},
            "judge": {"splits": ["train"], "hyperparameters": REWARD_MODEL | {"prompt_folds": 2}},
            "sft": {"algorithm": "sft", "hyperparameters": SFT},
            "ppo": {"algorithm": "ppo", "hyperparameters": PPO, "reward_model": str(self.reward_model)},
            "fine_tune": {
                "data": str(write(self.folder / "chats.jsonl", CHATS)),
                "method": "supervised",
                "scope": "lora",
                "form": "messages",
                "hyperparameters": FINE_TUNE,
            },
        }
        where = {"base": str(self.base), "snapshot": str(self.snapshot), "output": str(path / "out")}
        how = {"seed": 4, "threads": 1, "dtype": "fp32", "device": "cpu", "backend": backend}
        return {**where, **how, **made[stage]}


def train(path: Path, stage: str) -> Path:
    """By this process, to the end."""
    assert run.execute(MODULES[CHILD_STAGES[stage]].run, path) == run.DONE
    return path
