"""A reward model's rules by group."""

from types import SimpleNamespace

import torch

from rlhf.training.policy.rule_groups import GroupedRewardModel
from rlhf.training.ppo.shaping import GroupScorer
from rlhf.training.reward.model import ReplyScores

VIOLATIONS = torch.tensor([[0.1, 0.7, 0.3], [0.9, 0.2, 0.4]])


def grouped(groups: dict[str, str]) -> GroupedRewardModel:
    def judge_rollout(rollout: "Rollout", states: torch.Tensor) -> ReplyScores:
        rows = states[:, 0, 0].long()
        return ReplyScores(rows.float(), VIOLATIONS[rows], VIOLATIONS[rows].amax(1))

    model = SimpleNamespace(
        judged=("a", "b", "c"), judge_rollout=judge_rollout, for_training=lambda found: found.scores - 1.0
    )
    return GroupedRewardModel(model, groups)  # type: ignore[arg-type]


class Rollout:
    lengths, prompt_lengths = torch.tensor([3, 3]), torch.tensor([1, 1])

    def __len__(self) -> int:
        return 2


STATES = torch.arange(2.0)[:, None, None].expand(2, 3, 4)


def test_a_group_s_probability_is_the_largest_of_its_rules() -> None:
    model = grouped({"a": "self", "b": "safety", "c": "self"})
    assert model.groups == ("safety", "self")
    assert isinstance(model, GroupScorer)
    scores, p_violation, by_group = model.score_groups(Rollout(), STATES)  # type: ignore[arg-type]
    assert scores.tolist() == [-1.0, 0.0]  # as a policy is trained on them
    assert torch.equal(by_group, torch.tensor([[0.7, 0.3], [0.2, 0.9]]))
    assert torch.equal(p_violation, by_group.amax(1))


def test_rules_of_an_older_snapshot_are_one_group() -> None:
    assert grouped({}).groups == ("other",)
    assert grouped({"a": "self"}).groups == ("other", "self")
