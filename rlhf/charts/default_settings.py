"""Default values of hyperparameters, read from the source of their classes: those import torch, which no page may."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings

from rlhf.models import Run

TRAINING = Path("rlhf/training")
REWARD_MODEL = (TRAINING / "reward/fit.py", "RewardModelConfig")
PPO = (TRAINING / "ppo/config.py", "PpoConfig")
PEERS = (TRAINING / "policy/peers.py", "PeerConfig")
EVALUATION = (TRAINING / "evaluation/stage.py", "EvaluationConfig")


def default_of(stage: Run, name: str) -> Any:
    """Of one hyperparameter of a stage; None where it has none, or none that stands there as a plain value."""
    if stage.kind == Run.Kind.REWARD_MODEL:
        return _defaults(*REWARD_MODEL).get(name)
    if stage.kind == Run.Kind.EVALUATION:
        return _defaults(*EVALUATION).get(name)
    if stage.kind == Run.Kind.POLICY:
        return _defaults(*(PPO if stage.algorithm in ("", "ppo") else PEERS)).get(name)
    return None


@cache
def _defaults(file: Path, name: str) -> dict[str, Any]:
    tree = ast.parse((Path(settings.BASE_DIR) / file).read_text())
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    fields = (node for node in found.body if isinstance(node, ast.AnnAssign) and node.value is not None)
    return {node.target.id: _value(node.value) for node in fields if isinstance(node.target, ast.Name) and node.value}


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:  # computed
        return None
