"""Shapes scores into the reward of each token that PPO optimises, with every part reported by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from rlhf.training.model.rollout import Rollout
from rlhf.training.ppo.config import PpoConfig


class Scorer(Protocol):
    """The reward model as PPO sees it."""

    def score(self, rollout: Rollout, trunk_states: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [N] on any scale and P(violation) [N] in 0..1 of completions with trunk states [N, T, D]."""
        ...


@runtime_checkable
class GroupScorer(Protocol):
    """A scorer that tells groups of rules apart, which the Lagrangian needs and the curves show."""

    @property
    def groups(self) -> Sequence[str]: ...

    def score(self, rollout: Rollout, trunk_states: Tensor) -> tuple[Tensor, Tensor]: ...

    def score_groups(self, rollout: Rollout, trunk_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `score`, and P(violation) of each group [N, G]."""
        ...


@dataclass(frozen=True)
class ScoreScale:
    """Mean and spread of the reward model's scores on the reference's completions, fixed before learning.

    Ziegler et al., arXiv:1909.08593, section 2.2: 0 mean, spread 1, so that beta means the same for every model.
    """

    mean: float
    spread: float

    @classmethod
    def measure(cls, scores: Tensor) -> "ScoreScale":
        spread = float(scores.float().std(unbiased=False))
        return cls(float(scores.float().mean()), spread if spread > 1e-6 else 1.0)


@dataclass(frozen=True)
class ShapedReward:
    """Parts of the reward of each completion, [N] each; `total` is what the last token earns."""

    score: Tensor  # normalised, clipped and weighted
    violation: Tensor  # lost to P(violation), by one weight or by those of the groups
    missing_eos: Tensor  # lost for not ending
    short: Tensor  # lost for having too few words, or no sentence

    @property
    def total(self) -> Tensor:
        return self.score - self.violation - self.missing_eos - self.short


def shape(
    scores: Tensor,
    p_violation: Tensor,
    words: Tensor,
    ended: Tensor,
    scale: ScoreScale,
    config: PpoConfig,
    *,
    speaks: Tensor | None = None,
    violation_cost: Tensor | None = None,
) -> ShapedReward:
    """scores, p_violation, words of the completions, ended [N] -> the reward's parts.

    `speaks` [N]: which hold a sentence; all where it is not given. `violation_cost` [N] instead of the fixed weight.
    Without `fragments` one that did not end is not judged, as nobody judged such a one: its score is the lowest.
    """
    normal = ((scores.float() - scale.mean) / scale.spread).clamp(-config.score_clip, config.score_clip)
    if not config.fragments:
        normal = torch.where(ended, normal, -config.score_clip)
    lacking = (config.short_words - words).clamp(min=0) / max(config.short_words, 1)
    silent = torch.zeros_like(normal) if speaks is None else (~speaks).float()
    return ShapedReward(
        score=config.score_weight * normal,
        violation=config.violation_weight * p_violation.float() if violation_cost is None else violation_cost,
        missing_eos=config.missing_eos_penalty * (~ended).float(),
        short=config.short_penalty * lacking + config.sentence_penalty * silent,
    )


def token_rewards(total: Tensor, kl: Tensor, mask: Tensor, beta: float) -> Tensor:
    """total [N], kl [N, C] (log p - log p_ref of the tokens sampled) -> rewards [N, C].

    -beta * kl at every token, the completion's reward once, at its last token (Stiennon et al., arXiv:2009.01325,
    section 3.4; per token as in Ziegler's code).
    """
    rewards = -beta * kl * mask
    last = mask.sum(1) - 1
    rewards[torch.arange(len(total), device=total.device), last] += total
    return rewards
