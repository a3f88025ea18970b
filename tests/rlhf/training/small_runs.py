"""Run directories with settings under which every stage ends within seconds."""

import json
from pathlib import Path
from typing import Any

from rlhf.training.run import RunDirectory

FEW = {"adapted_layers": 2, "rank": 2, "epochs": 1}
ASKED = {"max_tokens": 8, "prompts": 4, "best_of": 2, "best_of_prompts": 2, "samples": 2, "violation_draws": 4}


def directory(path: Path, **config: Any) -> RunDirectory:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps({"seed": 1, **config}))
    return RunDirectory(path)
