"""Reads the lines of an evaluation's replies, in which no text is, from the directory of its run."""

import hashlib
import json
from pathlib import Path
from typing import Any

from rlhf.models import Evaluation


def replies(evaluation: Evaluation) -> list[dict[str, Any]] | None:
    """A row for each reply without its text, in the order of the evaluation. None where the run's file is gone, is
    not the one that the report was made with, or was never written: before version 0.3."""
    told = evaluation.report.get("replies")
    if not isinstance(told, dict):
        return None
    try:
        content = (evaluation.run.path / Path(str(told.get("file"))).name).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest() != told.get("sha256"):
        return None
    return [json.loads(line) for line in content.decode().splitlines()]
