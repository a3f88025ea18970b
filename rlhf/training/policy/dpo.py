"""DPO as a way to train a policy: on the preference pairs of the snapshot's rankings, without a reward model."""

from dataclasses import dataclass
from typing import Any

from rlhf.training.fine_tuning.objectives import Dpo
from rlhf.training.policy import fitted, replies
from rlhf.training.policy.config import FittedConfig
from rlhf.training.policy.fitted import FittingRun
from rlhf.training.policy.replies import ReplyEncoder
from rlhf.training.run import RunDirectory


@dataclass(frozen=True)
class DpoConfig(FittedConfig):
    """`beta` 0.1: Rafailov et al., arXiv:2305.18290, appendix B."""

    beta: float = 0.1

    def validate(self) -> None:
        super().validate()
        self._above_zero("beta")


def run(directory: RunDirectory) -> dict[str, Any]:
    config = DpoConfig.read(directory.hyperparameters)
    return fitted.run(directory, config, lambda run: _objective(run, config), {"algorithm": "dpo"})


def _objective(run: FittingRun, config: DpoConfig) -> Dpo:
    tokenizer = run.inputs.tokenizer
    examples, weights = replies.pairs(run.inputs.snapshot, ReplyEncoder(tokenizer, config.max_tokens))
    return Dpo.over(
        run.learner,
        examples,
        tokenizer.padding_id,
        beta=config.beta,
        poll=run.directory.stop_if_asked,
        weights=weights,
        reference=run.reference,
    )
