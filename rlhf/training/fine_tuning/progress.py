"""Progress that is told once: a run that goes on from a checkpoint does some steps again, and says nothing new."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rlhf.training.run import RunDirectory

Report = Callable[[int, int, Mapping[str, Any]], None]


def once(directory: RunDirectory) -> Report:
    """A report that passes over the steps that metrics.jsonl holds already."""
    told = _last_step(directory.path / "metrics.jsonl")

    def report(step: int, steps: int, values: Mapping[str, Any]) -> None:
        if step > told:
            directory.report(step, steps, values)

    return report


def _last_step(metrics: Path) -> int:
    """Of whole lines; -1 where there is none."""
    found = -1
    if metrics.exists():
        for line in metrics.read_text().splitlines():
            try:
                found = max(found, int(json.loads(line)["step"]))
            except (ValueError, KeyError, TypeError):
                continue  # torn by a kill
    return found
