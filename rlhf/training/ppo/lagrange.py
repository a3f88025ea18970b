"""Multipliers that hold each group of rules at its target: dual ascent beside the policy's gradient steps.

Maximise the preference subject to mean P(violation) <= target for each group; its Lagrangian takes lambda_g * P_g off
a completion's reward. Dai et al., arXiv:2310.12773, section 3.3: the policy descends and lambda ascends in turn, in
the logarithm of lambda, so that it stays above 0. Deviations: several constraints; the reward is not divided by
1 + lambda, so that beta goes on meaning the same; lambda is bounded, so that a target that cannot be reached does not
drive it to where it takes as long to come back. Ascent alone is an integral and swings around the target, from 0.02
to 0.9 on a toy; the weight in use is lambda times e^(damping * excess), a proportional part as in Stooke et al.,
arXiv:2007.03964, section 4.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

LEAST, MOST = 0.02, 50.0


@dataclass
class Multipliers:
    """Of one run, by group; they go to the checkpoint."""

    of: dict[str, float] = field(default_factory=dict)
    in_use: dict[str, float] = field(default_factory=dict)
    """With the proportional part of the newest rollout."""

    def ascend(self, means: Mapping[str, float], *, start: float, target: float, rate: float, damping: float) -> None:
        """One step by a rollout's mean P(violation) of each group: up where it is above the target, else down."""
        for group, mean in means.items():
            moved = math.log(self.of.get(group, start)) + rate * (mean - target)
            self.of[group] = _bounded(moved)
            self.in_use[group] = _bounded(math.log(self.of[group]) + damping * (mean - target))

    def cost(self, groups: Sequence[str], violations: Tensor, start: float) -> Tensor:
        """P(violation) [N, G] of the groups -> what each completion loses [N]."""
        weights = torch.tensor([self.in_use.get(group, start) for group in groups], device=violations.device)
        return violations.float() @ weights


def _bounded(logarithm: float) -> float:
    return min(max(math.exp(logarithm), LEAST), MOST)
