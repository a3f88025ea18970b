"""A policy to train with PPO towards one paid token: settings, scorers and the run itself."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from rlhf.training.model.sampler import Rollout
from rlhf.training.model.transformer import Transformer
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.train import PpoResult, train_ppo
from rlhf.training.rollouts.source import RolloutSource

PAID = 17  # the token that the scorers pay for
PROMPTS = [[1, first, second] for first in (4, 5, 6, 7) for second in (8, 9)]
CONFIG = PpoConfig(
    iterations=3,
    prompts_per_iteration=8,
    completions_per_prompt=4,
    max_tokens=6,
    temperature=1.0,
    learning_rate=1e-2,
    anneal=False,
    kl_coef=0.01,
    missing_eos_penalty=0.0,
    short_words=0,
    violation_weight=0.0,
    rank=4,
    alpha=8.0,
    calibration_prompts=8,
    target_kl=50.0,
    stop_kl=100.0,
)


def paid_share(rollout: Rollout) -> torch.Tensor:
    """The share of each completion that is the paid token: 1 at the optimum."""
    return ((rollout.ids == PAID) & rollout.completion_mask()).sum(1) / rollout.completion_lengths


class PaysForOneToken:
    def score(self, rollout: Rollout, trunk_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return paid_share(rollout), torch.zeros(len(rollout))


class BreaksAfter(PaysForOneToken):
    """NaN for one completion of the rollout after `good` good ones."""

    def __init__(self, good: int) -> None:
        self.left = good

    def score(self, rollout: Rollout, trunk_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores, p_violation = super().score(rollout, trunk_states)
        self.left -= 1
        return torch.where(
            torch.arange(len(scores)) == 3, torch.nan, scores
        ) if self.left < 0 else scores, p_violation


def train(
    model: Transformer,
    directory: Path,
    *,
    scorer: object = None,
    config: PpoConfig = CONFIG,
    seed: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
    reports: list[tuple[int, int]] | None = None,
    count_words: Callable[[Sequence[int]], int] = len,
    source: RolloutSource | None = None,
    then: Callable[[], None] = lambda: None,
) -> PpoResult:
    """`then` is called after each iteration."""

    def report(step: int, steps: int, values: dict[str, float]) -> None:
        if reports is not None:
            reports.append((step, steps))
        then()

    return train_ppo(
        model,
        PROMPTS,
        scorer or PaysForOneToken(),  # type: ignore[arg-type]
        config,
        seed=seed,
        directory=directory,
        report=report,
        should_stop=should_stop,
        count_words=count_words,
        source=source,
    )


def weights(result: PpoResult) -> list[torch.Tensor]:
    return [tensor.detach().clone() for tensor in result.adapter.parameters()]
