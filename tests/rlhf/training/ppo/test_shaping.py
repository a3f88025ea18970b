"""Rewards by hand."""

from dataclasses import replace

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


def test_a_completion_without_a_sentence_loses_its_penalty_beside_that_of_few_words() -> None:
    shaped = shape(
        scores=torch.zeros(3),
        p_violation=torch.zeros(3),
        words=torch.tensor([20, 20, 0]),
        ended=torch.tensor([True, True, True]),
        scale=ScoreScale(0.0, 1.0),
        config=replace(CONFIG, sentence_penalty=0.75),
        speaks=torch.tensor([True, False, False]),
    )
    assert shaped.short.tolist() == [0.0, 0.75, 2.75]


def test_what_the_groups_cost_replaces_the_fixed_weight() -> None:
    shaped = shape(
        scores=torch.zeros(2),
        p_violation=torch.ones(2),
        words=torch.tensor([20, 20]),
        ended=torch.tensor([True, True]),
        scale=ScoreScale(0.0, 1.0),
        config=CONFIG,
        violation_cost=torch.tensor([0.5, 3.0]),
    )
    assert shaped.total.tolist() == [-0.5, -3.0]


def test_a_fragment_is_not_judged_where_none_ever_was() -> None:
    shaped = shape(
        scores=torch.tensor([9.0, 2.0, 2.0]),
        p_violation=torch.zeros(3),
        words=torch.tensor([20, 20, 20]),
        ended=torch.tensor([False, False, True]),
        scale=ScoreScale(0.0, 1.0),
        config=replace(CONFIG, fragments=False),
    )
    assert shaped.score.tolist() == [-3.0, -3.0, 2.0]
    assert shaped.total.tolist() == [-4.0, -4.0, 2.0]
