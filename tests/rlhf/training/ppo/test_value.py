"""The ridge value finds a linear truth, moves within its clip and survives a checkpoint."""

import pytest
import torch

from rlhf.training.ppo.value import RidgeValue, context_of, explained_variance

RANDOM = torch.Generator().manual_seed(0)
FEATURES = torch.randn(400, 6, generator=RANDOM)
CONTEXT = torch.rand(400, 2, generator=RANDOM)
DIRECTIONS = FEATURES / FEATURES.norm(dim=1, keepdim=True)
RETURNS = DIRECTIONS @ torch.tensor([1.0, -2.0, 0.5, 0, 0, 3.0]) + CONTEXT @ torch.tensor([2.0, 0.5]) - 1


def test_a_linear_truth_is_found() -> None:
    value = RidgeValue(6, ridge=1e-6, clip=0.2)
    assert not value.predict(FEATURES, CONTEXT).any()
    value.refit(FEATURES[:300], CONTEXT[:300], RETURNS[:300])
    assert explained_variance(value.predict(FEATURES[300:], CONTEXT[300:]), RETURNS[300:]) > 0.999


def test_a_later_refit_moves_no_further_than_the_clip() -> None:
    value = RidgeValue(6, ridge=1e-6, clip=0.2)
    value.refit(FEATURES, CONTEXT, RETURNS)
    before = value.predict(FEATURES, CONTEXT)
    moved = value.refit(FEATURES, CONTEXT, RETURNS + 50)
    real = (value.predict(FEATURES, CONTEXT) - before).square().mean().sqrt().item()
    assert moved == pytest.approx(0.2)
    assert real == pytest.approx(0.2, rel=1e-3)


def test_a_restored_value_is_the_same() -> None:
    value, other = RidgeValue(6, ridge=1e-2, clip=0.2), RidgeValue(6, ridge=1e-2, clip=0.2)
    value.refit(FEATURES, CONTEXT, RETURNS)
    other.load_state({name: tensor.clone() for name, tensor in value.state().items()})
    for one in (value, other):
        one.refit(FEATURES, CONTEXT, -RETURNS)
    assert torch.equal(value.weights, other.weights)


def test_explained_variance_of_a_constant_is_zero_and_of_the_truth_one() -> None:
    assert explained_variance(torch.full_like(RETURNS, 7), RETURNS) == pytest.approx(0)
    assert explained_variance(RETURNS, RETURNS) == 1
    assert explained_variance(RETURNS, torch.ones_like(RETURNS)) == 0


def test_the_context_is_the_place_and_the_mean_of_the_prompt_s_other_completions() -> None:
    mask = torch.tensor([[True, True], [True, False], [True, False], [True, True]])
    totals = torch.tensor([1.0, 2.0, 6.0, 5.0])
    context = context_of(mask, totals, torch.tensor([0, 0, 0, 1]), max_tokens=4)
    assert context.tolist() == [[0, 4], [0.25, 4], [0, 3.5], [0, 1.5], [0, 0], [0.25, 0]]
