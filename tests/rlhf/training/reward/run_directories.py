"""Run directories of the reward model's stage on a planted snapshot, with settings that are quick."""

import json
from pathlib import Path

from rlhf.training.run import RunDirectory
from tests.rlhf.training.planted import JUDGE

LIMITS = {"max_completion_tokens": 99}
QUICK = {"adapted_layers": 2, "rank": 4, "epochs": 3, "learning_rate": 3e-3, "heads_learning_rate": 1e-2}


def run_directory(path: Path, tiny: Path, snapshot: Path, **changes: object) -> RunDirectory:
    path.mkdir(parents=True, exist_ok=True)
    config = {
        "base": str(tiny),
        "snapshot": str(snapshot),
        "output": str(path / "out"),
        "seed": 3,
        "splits": ["train"],
        "hyperparameters": QUICK,
        "judge": JUDGE,
    }
    (path / "config.json").write_text(json.dumps(config | changes))
    return RunDirectory(path)
