"""Default values of hyperparameters, read from the source of their classes: those import torch, which no page may."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings

from rlhf.models import Run

TRAINING = "rlhf.training"
REWARD_MODEL = (f"{TRAINING}.reward.fit", "RewardModelConfig")
JUDGE = (f"{TRAINING}.reward.cross_fit", "JudgeConfig")
EVALUATION = (f"{TRAINING}.evaluation.stage", "EvaluationConfig")
POLICY = {
    "ppo": (f"{TRAINING}.ppo.config", "PpoConfig"),
    "rloo": (f"{TRAINING}.policy.peers_config", "PeerConfig"),
    "grpo": (f"{TRAINING}.policy.peers_config", "PeerConfig"),
    "dpo": (f"{TRAINING}.policy.dpo", "DpoConfig"),
    "kto": (f"{TRAINING}.policy.kto", "KtoConfig"),
    "sft": (f"{TRAINING}.policy.sft", "SftConfig"),
    "best_of_n": (f"{TRAINING}.policy.best_of_n", "BestOfNConfig"),
}


def default_of(stage: Run, name: str) -> Any:
    """Of one hyperparameter of a stage; None where it has none, or none that stands there as a plain value."""
    found = _class_of(stage)
    return None if found is None else _defaults(*found).get(name)


def _class_of(stage: Run) -> tuple[str, str] | None:
    if stage.kind == Run.Kind.REWARD_MODEL:
        return JUDGE if stage.stage == "judge" else REWARD_MODEL
    if stage.kind == Run.Kind.EVALUATION:
        return EVALUATION
    return POLICY.get(stage.algorithm or "ppo") if stage.kind == Run.Kind.POLICY else None


@cache
def _defaults(module: str, name: str) -> dict[str, Any]:
    """Those of the classes that it is derived from, too."""
    return {
        node.target.id: _value(module, node.value)
        for module, found in reversed(_lineage(module, name))
        for node in found.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
    }


def _lineage(module: str, name: str) -> list[tuple[str, ast.ClassDef]]:
    """The class and those that it is derived from, in the order in which Python looks for a field: of one that is
    reached in two ways the last place counts."""
    (found,) = (node for node in _source(module).body if isinstance(node, ast.ClassDef) and node.name == name)
    bases = [_place(module, base.id) for base in found.bases if isinstance(base, ast.Name)]
    above = [one for place in bases for one in _lineage(*place)]
    return [(module, found), *(one for at, one in enumerate(above) if one not in above[at + 1 :])]


def _value(module: str, node: ast.expr) -> Any:
    """A literal, or the default of another class's field."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return _defaults(*_place(module, node.value.id)).get(node.attr)
    try:
        return ast.literal_eval(node)
    except ValueError:  # computed
        return None


def _place(module: str, name: str) -> tuple[str, str]:
    """The module that a class comes from."""
    for node in _source(module).body:
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
            return node.module, name
    return module, name


@cache
def _source(module: str) -> ast.Module:
    return ast.parse((Path(settings.BASE_DIR) / f"{module.replace('.', '/')}.py").read_text())
