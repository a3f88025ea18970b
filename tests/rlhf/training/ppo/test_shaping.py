"""Rewards by hand."""

import pytest
import torch

from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.shaping import ScoreScale, shape, token_rewards

CONFIG = PpoConfig(score_clip=3.0, violation_weight=4.0, missing_eos_penalty=1.0, short_words=8, short_penalty=2.0)


def test_every_part_of_the_reward() -> None:
    shaped = shape(
        scores=torch.tensor([3.0, 1.0, 100.0]),
        p_violation=torch.tensor([0.0, 0.5, 0.25]),
        words=torch.tensor([20, 2, 8]),
        ended=torch.tensor([True, True, False]),
        scale=ScoreScale(mean=1.0, spread=2.0),
        config=CONFIG,
    )
    assert shaped.score.tolist() == [1.0, 0.0, 3.0]
    assert shaped.violation.tolist() == [0.0, 2.0, 1.0]
    assert shaped.missing_eos.tolist() == [0.0, 0.0, 1.0]
    assert shaped.short.tolist() == [0.0, 1.5, 0.0]
    assert shaped.total.tolist() == [1.0, -3.5, 1.0]


def test_the_score_is_paid_once_at_the_last_token() -> None:
    kl = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, 0.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    rewards = token_rewards(torch.tensor([10.0, -1.0]), kl, mask, beta=0.1)
    assert rewards.tolist() == [pytest.approx([-0.05, 0.1, 9.8]), pytest.approx([-1.1, 0, 0])]


def test_scores_without_spread_are_only_centred() -> None:
    assert ScoreScale.measure(torch.tensor([2.0, 2.0])) == ScoreScale(2.0, 1.0)
    scale = ScoreScale.measure(torch.tensor([1.0, 3.0]))
    assert (scale.mean, scale.spread) == (2.0, 1.0)
