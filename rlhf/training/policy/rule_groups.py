"""A reward model as PPO's scorer that tells groups of rules apart."""

from collections.abc import Mapping

import torch
from torch import Tensor

from rlhf.training.model.rollout import Rollout
from rlhf.training.reward.model import RewardModel

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

    @property
    def disagreement(self) -> float | None:
        """Of an ensemble, on the last rollout: the mean standard deviation of its members' scores."""
        return self.model.disagreement

    def score(self, rollout: Rollout, trunk_states: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.score(rollout, trunk_states)

    def score_groups(self, rollout: Rollout, trunk_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(scores [N], P(any violation) [N], P(violation) by group [N, G])."""
        found = self.model.judge_rollout(rollout, trunk_states)
        by_group = [found.violations[:, self.columns[group]].amax(1) for group in self.groups]
        return (
            self.model.for_training(found),
            found.any_violation,
            torch.stack(by_group, 1) if by_group else found.violations,
        )
