"""Supervised learning as a way to train a policy: on the best reply of each ranking, without a reward model."""

from dataclasses import dataclass
from typing import Any

from rlhf.training.fine_tuning.objectives import Supervised
from rlhf.training.policy import fitted, replies
from rlhf.training.policy.config import FittedConfig
from rlhf.training.policy.replies import ReplyEncoder
from rlhf.training.run import RunDirectory


@dataclass(frozen=True)
class SftConfig(FittedConfig):
    n_epochs: int = 2


def run(directory: RunDirectory) -> dict[str, Any]:
    config = SftConfig.read(directory.hyperparameters)
    return fitted.run(
        directory,
        config,
        lambda run: Supervised(
            replies.best(run.inputs.snapshot, ReplyEncoder(run.inputs.tokenizer, config.max_tokens))
        ),
        {"algorithm": "sft"},
    )
