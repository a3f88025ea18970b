"""Reads the files of an evaluation from the directory of its run, as the report tells their names and hashes."""

import hashlib
import json
from pathlib import Path
from typing import Any

from base import shared_state
from base.state_errors import StateAway
from rlhf.models import Evaluation


def stored_rows(evaluation: Evaluation, name: str) -> list[dict[str, Any]] | None:
    """None where the run's file is gone, is not the one that the report was made with, or was never written. Raises
    StateAway.

    `replies`: a row for each reply without its text, in the order of the evaluation (since version 0.3).
    `judgements`: what a cross-fitted judge said of each held-out judgement, without names.
    `violation_label_rows`: of each reply from which the judge's errors on rules are known, what people found and what
    the judge says; nothing of a judge that makes none.
    """
    told = evaluation.report.get(name)
    if not isinstance(told, dict):
        return None
    try:
        content = shared_state.read(evaluation.run.path / Path(str(told.get("file"))).name)
    except StateAway:
        raise
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest() != told.get("sha256"):
        return None
    return [json.loads(line) for line in content.decode().splitlines()]
