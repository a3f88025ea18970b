"""How far the sampler of a rollout is from the scorer, whose log-probs training computes with.

A server computes in other kernels and dtypes, so that its tokens are those of a slightly other policy. Each token's
loss is weighted by p(scorer) / p(sampler), truncated: Espeholt et al., arXiv:1802.01561 (rho-bar), and for servers
that sample for language models Yao et al., "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training"
(2025). Truncation bounds a weight but mends no other model.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_LOG_RATIO = 20.0
"""Nats; beyond it a ratio only says that the two have nothing to do with each other."""
LIMIT_NATS = 0.05
"""A token, of the KL. Measured in bf16: 0.0015 for the sampler of this process, 0.0027 for vLLM. At the limit a reply
of 96 tokens is 5 nats away, as far as a whole training may go from its reference: no rounding, but another model."""


class AnotherModelSampled(Exception):
    """The sampler's log-probs are not those of the policy in training."""

    def __init__(self, kl: float, why: str = "the servers must hold the base of this run, not quantised") -> None:
        apart = f"{kl:.3g} nats a token apart, where {LIMIT_NATS:g} are the limit"
        super().__init__(f"the completions were sampled by another model than the one in training ({apart}): {why}")
        self.kl = kl


def importance_weights(scored: Tensor, sampled: Tensor, cap: float) -> Tensor:
    """Log-probs of the same tokens by scorer and by sampler -> p(scorer) / p(sampler), at most `cap`."""
    return torch.exp(scored - sampled).clamp(max=cap)


def weight_metrics(weights: Tensor, cap: float) -> dict[str, float]:
    """Of the importance weights of all tokens: their mean, and the share that was truncated."""
    return {"sampler/weight": float(weights.mean()), "sampler/capped": float((weights >= cap).float().mean())}


@dataclass(frozen=True)
class Mismatch:
    """Of one rollout."""

    nats: float
    """Mean absolute difference of the log-probs of a token."""
    nats_max: float
    kl: float
    """KL(sampler | scorer), nats a token, by the estimator that is never negative (k3)."""
    kl_max: float
    """The same of the completion where it is largest."""

    @classmethod
    def of(cls, scored: Tensor, sampled: Tensor, mask: Tensor) -> "Mismatch":
        """Log-probs [N, C] of the same tokens by scorer and by sampler, on `mask`."""
        difference = (scored - sampled).masked_fill(~mask, 0.0)
        bounded = difference.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
        kl = (torch.expm1(bounded) - bounded).sum(1)  # [N]
        inside = difference[mask]
        return cls(
            nats=float(inside.abs().mean()),
            nats_max=float(inside.abs().max()),
            kl=float(kl.sum() / mask.sum()),
            kl_max=float((kl / mask.sum(1)).max()),
        )

    def metrics(self) -> dict[str, float]:
        return {
            "sampler/nats": self.nats,
            "sampler/nats_max": self.nats_max,
            "sampler/kl": self.kl,
            "sampler/kl_max": self.kl_max,
        }

    @property
    def is_of_another_model(self) -> bool:
        """Also where it is no number."""
        return not self.kl <= LIMIT_NATS

    def refuse_another_model(self) -> None:
        """Raises AnotherModelSampled."""
        if self.is_of_another_model:
            raise AnotherModelSampled(self.kl)
