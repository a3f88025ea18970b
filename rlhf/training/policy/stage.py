"""The policy stage: trains a policy in one of several ways and publishes it as a directory of its own."""

from collections.abc import Callable
from typing import Any

from rlhf.training.hyperparameters import require
from rlhf.training.policy import best_of_n, dpo, kto, peers, ppo, sft
from rlhf.training.run import RunDirectory

WAYS: dict[str, Callable[[RunDirectory], dict[str, Any]]] = {
    "ppo": ppo.run,
    "rloo": peers.run,
    "grpo": peers.run,
    "dpo": dpo.run,
    "kto": kto.run,
    "sft": sft.run,
    "best_of_n": best_of_n.run,
}


def run(directory: RunDirectory) -> dict[str, Any]:
    algorithm = str(directory["algorithm"])
    require(algorithm in WAYS, "algorithm", algorithm, f"must be one of {', '.join(WAYS)}")
    return WAYS[algorithm](directory)
