"""The part of a report that says how good its judge is, and the file from which that can be computed again."""

import hashlib
from pathlib import Path
from typing import Any

from rlhf.training.evaluation.cross_fitted import CrossFittedJudge
from rlhf.training.evaluation.judges import Judge
from rlhf.training.reward.qualification import FILE, qualify


def describe_judge(judge: Judge) -> dict[str, Any]:
    """Every figure of its qualification as `judge_...`; nothing of a judge that is not in doubt or was not asked."""
    if judge.judgements is None:
        return {}
    found = {f"judge_{name}": value for name, value in qualify(judge.judgements.without_names()).items()}
    if isinstance(judge, CrossFittedJudge):
        found |= {
            "judge_prompt_folds": judge.folds.prompt_folds,
            "judge_annotator_folds": judge.folds.annotator_folds,
        }
    return found


def write(judge: Judge, directory: Path) -> dict[str, Any]:
    """Writes what the judge said of held-out judgements, by numbers instead of names; returns what the report says of
    the file."""
    if judge.judgements is None:
        return {}
    judge.judgements.without_names().write(directory)
    content = (directory / FILE).read_bytes()
    told = {"file": FILE, "rows": content.count(b"\n"), "sha256": hashlib.sha256(content).hexdigest()}
    return {"judgements": told}
