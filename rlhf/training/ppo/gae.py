"""Advantages from token rewards and values.

Schulman et al., arXiv:1506.02438, equation 16, on rows that end at different places.
N completions, C columns of completion tokens, `mask` [N, C] true where a token is.
"""

import torch
from torch import Tensor


def advantages_and_returns(
    rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """rewards, values [N, C] -> advantages and returns (advantage + value) [N, C], zero outside the mask.

    The state after the last token of a row is terminal and worth 0, also where the length limit cut the row.
    """
    rewards, values = rewards * mask, values * mask
    advantages = torch.zeros_like(rewards)
    running = torch.zeros_like(rewards[:, 0])
    following = torch.zeros_like(rewards[:, 0])
    for column in reversed(range(rewards.shape[1])):
        surprise = rewards[:, column] + gamma * following - values[:, column]
        running = (surprise + gamma * lam * running) * mask[:, column]
        following = values[:, column]
        advantages[:, column] = running
    return advantages, (advantages + values) * mask


def rewards_to_go(rewards: Tensor, mask: Tensor, *, gamma: float) -> Tensor:
    """What really followed each token, discounted: [N, C], zero outside the mask."""
    return advantages_and_returns(rewards, torch.zeros_like(rewards), mask, gamma=gamma, lam=1.0)[0]


def whiten(values: Tensor, mask: Tensor, *, keep_mean: bool = False) -> Tensor:
    """Mean 0 and biased variance 1 over the mask (Huang et al., arXiv:2403.17031, detail on whitening)."""
    inside = values[mask]
    mean = inside.mean()
    white = (values - mean) * torch.rsqrt(inside.var(unbiased=False) + 1e-8)
    return (white + mean if keep_mean else white) * mask
