"""The ridge value finds a linear truth, moves within its clip and survives a checkpoint."""

import pytest
import torch

from rlhf.training.value import RidgeValue, explained_variance

RANDOM = torch.Generator().manual_seed(0)
FEATURES = torch.randn(400, 6, generator=RANDOM)
PROGRESS = torch.rand(400, generator=RANDOM)
DIRECTIONS = FEATURES / FEATURES.norm(dim=1, keepdim=True)
RETURNS = DIRECTIONS @ torch.tensor([1.0, -2.0, 0.5, 0, 0, 3.0]) + 2 * PROGRESS - 1


def test_a_linear_truth_is_found() -> None:
    value = RidgeValue(6, ridge=1e-6, clip=0.2)
    assert not value.predict(FEATURES, PROGRESS).any()
    value.refit(FEATURES[:300], PROGRESS[:300], RETURNS[:300])
    assert explained_variance(value.predict(FEATURES[300:], PROGRESS[300:]), RETURNS[300:]) > 0.999


def test_a_later_refit_moves_no_further_than_the_clip() -> None:
    value = RidgeValue(6, ridge=1e-6, clip=0.2)
    value.refit(FEATURES, PROGRESS, RETURNS)
    before = value.predict(FEATURES, PROGRESS)
    moved = value.refit(FEATURES, PROGRESS, RETURNS + 50)
    real = (value.predict(FEATURES, PROGRESS) - before).square().mean().sqrt().item()
    assert moved == pytest.approx(0.2)
    assert real == pytest.approx(0.2, rel=1e-3)


def test_a_restored_value_is_the_same() -> None:
    value, other = RidgeValue(6, ridge=1e-2, clip=0.2), RidgeValue(6, ridge=1e-2, clip=0.2)
    value.refit(FEATURES, PROGRESS, RETURNS)
    other.load_state({name: tensor.clone() for name, tensor in value.state().items()})
    for one in (value, other):
        one.refit(FEATURES, PROGRESS, -RETURNS)
    assert torch.equal(value.weights, other.weights)


def test_explained_variance_of_a_constant_is_zero_and_of_the_truth_one() -> None:
    assert explained_variance(torch.full_like(RETURNS, 7), RETURNS) == pytest.approx(0)
    assert explained_variance(RETURNS, RETURNS) == 1
    assert explained_variance(RETURNS, torch.ones_like(RETURNS)) == 0
