"""A reward model as PPO's scorer that tells groups of rules apart."""

from collections.abc import Mapping

import torch
from torch import Tensor

from rlhf.training.model.sampler import Rollout
from rlhf.training.reward.model import BATCH_TOKENS, RewardModel

NO_GROUP = "other"
"""Of rules in snapshots of before groups were frozen."""


class GroupedRewardModel:
    """P(violation) of a group is the largest of its judged rules', as that of any rule is the largest of all."""

    def __init__(self, model: RewardModel, groups: Mapping[str, str]) -> None:
        self.model = model
        self.columns: dict[str, list[int]] = {}
        for column, key in enumerate(model.judged):
            self.columns.setdefault(groups.get(key) or NO_GROUP, []).append(column)

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(sorted(self.columns))

    def score(self, rollout: Rollout, trunk_states: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.score(rollout, trunk_states)

    def score_groups(self, rollout: Rollout, trunk_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(scores [N], P(any violation) [N], P(violation) by group [N, G])."""
        parts = []
        for rows in torch.split(torch.arange(len(rollout)), max(1, BATCH_TOKENS // trunk_states.shape[1])):
            ends = rollout.lengths[rows]
            width = int(ends.max())
            parts.append(self.model.judge(trunk_states[rows, :width], rollout.prompt_lengths[rows], ends))
        violations = torch.cat([part.violations for part in parts])
        by_group = [violations[:, self.columns[group]].amax(1) for group in self.groups]
        return (
            torch.cat([part.scores for part in parts]),
            torch.cat([part.any_violation for part in parts]),
            torch.stack(by_group, 1) if by_group else violations,
        )
