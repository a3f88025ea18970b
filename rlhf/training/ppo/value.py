"""The value function: ridge regression from frozen features to the reward that followed.

Why no trained value network: at a thousand completions a closed-form fit on the reference model's last hidden state
is there after one batch, costs milliseconds and no second model, and cannot diverge. The features are free, because
the reference pass computes them for the KL anyway. Explained variance on completions not yet fitted is reported.
Deviation from Schulman et al., arXiv:1707.06347: no value loss is descended; value clipping limits how far one refit
may move the predictions.
"""

import torch
from torch import Tensor

CONTEXT = 2  # numbers beside the features, made by `context_of`
FORGET = 0.8  # weight of older iterations at each refit: the policy that earned those returns has changed


class RidgeValue:
    """value = weights . [features at unit scale, context, 1], in fp64 on the CPU.

    M states, F features of each, X numbers of context that are small already (`context_of`).
    """

    def __init__(self, features: int, *, ridge: float, clip: float) -> None:
        self.ridge = ridge
        self.clip = clip
        self.weights = torch.zeros(features + CONTEXT + 1, dtype=torch.float64)
        self.gram = torch.zeros(features + CONTEXT + 1, features + CONTEXT + 1, dtype=torch.float64)
        self.moment = torch.zeros(features + CONTEXT + 1, dtype=torch.float64)
        self.fitted = torch.zeros((), dtype=torch.float64)  # states the fit has seen, forgotten ones discounted

    def predict(self, features: Tensor, context: Tensor) -> Tensor:
        """features [M, F], context [M, X] -> values [M] fp32; zeros before the first fit."""
        return (self._design(features, context) @ self.weights).float()

    def refit(self, features: Tensor, context: Tensor, returns: Tensor) -> float:
        """Fit to returns [M] of M states; returns the root mean square by which the predictions moved."""
        design = self._design(features, context)
        self.gram = FORGET * self.gram + design.T @ design
        self.moment = FORGET * self.moment + design.T @ returns.double()
        first = not bool(self.fitted)
        self.fitted = FORGET * self.fitted + len(design)
        penalty = torch.full_like(self.weights, self.ridge) * self.fitted
        penalty[-1] = 1e-6 * self.fitted  # the constant is free
        change = torch.linalg.solve(self.gram + penalty.diag(), self.moment) - self.weights
        moved = float((design @ change).square().mean().sqrt())
        share = 1.0 if first or moved <= self.clip else self.clip / moved
        self.weights = self.weights + share * change
        return share * moved

    def state(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in ("weights", "gram", "moment", "fitted")}

    def load_state(self, state: dict[str, Tensor]) -> None:
        for name, tensor in state.items():
            setattr(self, name, tensor)

    def _design(self, features: Tensor, context: Tensor) -> Tensor:
        scale = features.shape[1] ** 0.5
        scaled = torch.nn.functional.normalize(features.cpu().double(), dim=1) * scale
        return torch.cat([scaled, context.cpu().double(), torch.ones_like(scaled[:, :1])], dim=1)


def context_of(mask: Tensor, totals: Tensor, prompt_index: Tensor, max_tokens: int) -> Tensor:
    """[M, X] for the tokens of `mask` [N, C]: how far along each is, and what the prompt's other completions earned.

    The mean over the others of the same prompt (`totals` [N]) knows nothing of what this completion does, so as a
    part of the value it leaves the gradient unbiased: the leave-one-out baseline of Kool et al. 2019, as a feature.
    """
    rows, columns = mask.nonzero(as_tuple=True)
    same = (prompt_index[:, None] == prompt_index) & ~torch.eye(len(totals), dtype=torch.bool, device=mask.device)
    others = (same.float() @ totals) / same.sum(1).clamp(min=1)
    return torch.stack([columns / max_tokens, others[rows]], dim=1)


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """1 - Var(return - value) / Var(return); 0 for a constant guess, below 0 when worse than one."""
    spread = returns.var(unbiased=False)
    return float(1 - (returns - values).var(unbiased=False) / spread) if spread > 0 else 0.0
