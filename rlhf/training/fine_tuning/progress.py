"""Reports each step once: a resumed run repeats the steps since its checkpoint, and those are not reported again."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rlhf.training.run import RunDirectory

Report = Callable[[int, int, Mapping[str, Any]], None]


def without_repeats(directory: RunDirectory) -> Report:
    """A report that skips the steps that are in metrics.jsonl already."""
    last = _last_step(directory.path / "metrics.jsonl")

    def report(step: int, steps: int, values: Mapping[str, Any]) -> None:
        if step > last:
            directory.report(step, steps, values)

    return report


def _last_step(metrics: Path) -> int:
    """Of complete lines; -1 where there is none."""
    found = -1
    if metrics.exists():
        for line in metrics.read_text().splitlines():
            try:
                found = max(found, int(json.loads(line)["step"]))
            except (ValueError, KeyError, TypeError):
                continue  # torn by a kill
    return found
