"""Advantages against the definition, written out as sums."""

import pytest
import torch

from rlhf.training.ppo.gae import advantages_and_returns, rewards_to_go, whiten

RANDOM = torch.Generator().manual_seed(0)
LENGTHS = [5, 1, 3]
MASK = torch.arange(5) < torch.tensor(LENGTHS)[:, None]
REWARDS = torch.randn(3, 5, generator=RANDOM, dtype=torch.float64)
VALUES = torch.randn(3, 5, generator=RANDOM, dtype=torch.float64)


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.8), (1.0, 1.0), (1.0, 0.0)])
def test_advantages_are_the_discounted_sums_of_surprises(gamma: float, lam: float) -> None:
    advantages, returns = advantages_and_returns(REWARDS, VALUES, MASK, gamma=gamma, lam=lam)
    for row, length in enumerate(LENGTHS):
        rewards, values = REWARDS[row].tolist(), [*VALUES[row, :length].tolist(), 0.0]
        for t in range(length):
            surprises = [rewards[s] + gamma * values[s + 1] - values[s] for s in range(length)]
            expected = sum((gamma * lam) ** (s - t) * surprises[s] for s in range(t, length))
            assert advantages[row, t].item() == pytest.approx(expected)
            assert returns[row, t].item() == pytest.approx(expected + values[t])
        assert not advantages[row, length:].any()


def test_rewards_to_go_are_sums_of_what_follows() -> None:
    ahead = rewards_to_go(REWARDS, MASK, gamma=0.5)
    assert ahead[2, 1].item() == pytest.approx((REWARDS[2, 1] + 0.5 * REWARDS[2, 2]).item())
    assert ahead[1, 0].item() == pytest.approx(REWARDS[1, 0].item())


def test_whitening_looks_at_the_mask_only() -> None:
    noisy = torch.where(MASK, REWARDS, torch.tensor(1e9, dtype=torch.float64))
    white = whiten(noisy, MASK)
    assert white[MASK].mean().item() == pytest.approx(0, abs=1e-6)
    assert white[MASK].var(unbiased=False).item() == pytest.approx(1, abs=1e-6)
    assert not white[~MASK].any()
    kept = whiten(noisy, MASK, keep_mean=True)
    assert kept[MASK].mean().item() == pytest.approx(REWARDS[MASK].mean().item())
