"""The gradient steps on one rollout: clipped ratios, clipped gradients, no step on a number that is not finite."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rlhf.training import processes
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.rollout import Rollout
from rlhf.training.model.scoring import Scored, own_rows, predict_completions
from rlhf.training.ppo.config import PpoConfig


class TrainingDiverged(Exception):
    """A number that training depends on is not finite; nothing was updated with it."""

    def __init__(self, what: str, iteration: int) -> None:
        super().__init__(
            f"{what} is not finite in iteration {iteration}; the weights of the last checkpoint are whole"
        )
        self.what = what
        self.iteration = iteration


def require_finite(tensor: Tensor, what: str, iteration: int) -> None:
    if not bool(torch.isfinite(tensor).all()):
        raise TrainingDiverged(what, iteration)


@dataclass(frozen=True)
class Experience:
    """A scored rollout: log-probs under its policy, whitened advantages and weights, [N, C] on `mask`."""

    rollout: Rollout
    policy: Scored
    advantages: Tensor
    weights: Tensor  # of `importance_weights`
    mask: Tensor


@dataclass
class UpdateStatistics:
    """One entry for each gradient step."""

    loss: list[float] = field(default_factory=list)
    approximate_kl: list[float] = field(default_factory=list)
    clipped: list[float] = field(default_factory=list)
    ratio: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    first_gap: float = 0.0  # largest |ratio - 1| before the first step: 0 unless the scorer disagrees with itself

    def add(self, loss: Tensor, ratio: Tensor, difference: Tensor, clipped: Tensor, share: float) -> None:
        """Of this process's tokens, which are a `share` of the batch's."""
        if not self.loss:
            self.first_gap = processes.most(float((ratio - 1).abs().max()))
        means = loss, 0.5 * difference.square().mean(), clipped.float().mean(), ratio.mean()
        lists = self.loss, self.approximate_kl, self.clipped, self.ratio
        for one, mean in zip(lists, processes.totals([share * float(mean) for mean in means]), strict=True):
            one.append(mean)

    def metrics(self) -> dict[str, float]:
        """Under TRL's names, and two of ours."""
        ratios = torch.tensor(self.ratio)
        return {
            "loss/policy_avg": _mean(self.loss),
            "policy/approxkl_avg": _mean(self.approximate_kl),
            "policy/clipfrac_avg": _mean(self.clipped),
            "val/ratio": float(ratios.mean()),
            "val/ratio_var": float(ratios.var(unbiased=False)),
            "val/first_ratio_gap": self.first_gap,
            "policy/gradient_norm": _mean(self.gradient_norm),
        }


def clipped_loss(
    log_probs: Tensor, old: Tensor, advantages: Tensor, weights: Tensor, cliprange: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Per-token inputs [m] -> weighted mean loss, ratios [m], clipped [m] (Schulman et al., arXiv:1707.06347,
    equation 7)."""
    ratio = torch.exp(log_probs - old)
    free = -advantages * ratio
    bounded = -advantages * ratio.clamp(1 - cliprange, 1 + cliprange)
    return (weights * torch.max(free, bounded)).mean(), ratio, bounded > free


def update_policy(
    transformer: Decoder,
    adapter: Adapter,
    optimizer: torch.optim.Optimizer,
    experience: Experience,
    epochs: list[list[Tensor]],
    config: PpoConfig,
    *,
    iteration: int,
    poll: Callable[[], None],
) -> UpdateStatistics:
    """One gradient step for each batch of rows of each epoch; `poll` may raise to stop between steps."""
    statistics = UpdateStatistics()
    tokens = experience.policy.first
    for batch in (rows.to(transformer.device) for batches in epochs for rows in batches):
        poll()
        rows, counts = own_rows(batch)
        if tokens is None:
            part = experience.rollout.select(rows)
            tokens, _ = predict_completions(transformer, part, adapter, temperature=config.temperature)
        mask = experience.mask[rows]
        share = float(mask.sum() / experience.mask[batch].sum()) if counts else 0.0
        old, advantages = experience.policy.log_probs[rows][mask], experience.advantages[rows][mask]
        weights = experience.weights[rows][mask]
        loss, ratio, clipped = clipped_loss(tokens.log_probs, old, advantages, weights, config.cliprange)
        require_finite(loss, "the policy loss", iteration)
        optimizer.zero_grad()
        (share * loss).backward()  # type: ignore[no-untyped-call]
        processes.sum_gradients(adapter.parameters())
        norm = torch.nn.utils.clip_grad_norm_(adapter.parameters(), config.max_grad_norm)
        require_finite(norm, "the gradient", iteration)
        optimizer.step()
        statistics.add(loss.detach(), ratio.detach(), tokens.log_probs.detach() - old, clipped, share)
        statistics.gradient_norm.append(float(norm))
        tokens = None
    return statistics


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0
