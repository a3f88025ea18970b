"""Log-probabilities of given tokens under the frozen head, without keeping the logits of any but a few rows.

M token positions, D hidden size, V vocabulary. At 1,536 positions and V = 49,152 the logits alone are 302 MB in
fp32, four times over in a naive graph; here one block of `BLOCK` rows exists at a time.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from rlhf.training.model.head import Head

BLOCK = 128


class TokenLogProbs(NamedTuple):
    """What the head says of the tokens that were written, each [M]; entropy (nats) is zero unless asked for."""

    log_probs: Tensor
    entropy: Tensor


def token_log_probs(
    hidden: Tensor, head: Head | Tensor, targets: Tensor, *, temperature: float, entropy: bool = False
) -> TokenLogProbs:
    """log softmax(logits / temperature)[target]: hidden [M, D], a frozen head or its bare matrix [V, D], targets [M].

    The temperature divides the logits here as it does in the sampler, or the ratio of the two is not 1 and the KL
    runs away (Huang et al., arXiv:2403.17031, detail "rescale the logits with the sampling temperature").
    Only the log-probabilities carry a gradient, and only to `hidden`.
    """
    log_probs, entropies = _TokenLogProbs.apply(hidden, Head.of(head), targets, temperature, entropy)  # type: ignore[no-untyped-call]
    return TokenLogProbs(log_probs, entropies)


class _TokenLogProbs(torch.autograd.Function):
    """d log p(target) / d hidden (`Head.slopes`), made in the forward pass.

    It does not depend on the gradient that comes from above except by a factor a row, so [M, D] is all that is
    saved and the logits need not be computed a second time.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Head, targets: Tensor, temperature: float, entropy: bool
    ) -> tuple[Tensor, Tensor]:
        wide = torch.float64 if head.dtype == torch.float64 else torch.float32
        log_probs = torch.empty(len(hidden), dtype=wide, device=hidden.device)
        entropies = torch.zeros_like(log_probs)
        slopes = torch.empty_like(hidden, dtype=wide) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden), BLOCK):
            rows = slice(start, start + BLOCK)
            logits = head.logits(hidden[rows], temperature)
            logs = functional.log_softmax(logits, -1, dtype=wide)
            log_probs[rows] = logs.gather(1, targets[rows, None])[:, 0]
            if entropy:
                entropies[rows] = -torch.linalg.vecdot(logs.exp(), logs)
            if slopes is not None:
                slopes[rows] = head.slopes(logits, targets[rows], temperature)
        ctx.slopes = slopes
        ctx.dtype = hidden.dtype
        ctx.mark_non_differentiable(entropies)
        return log_probs, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None, None, None]:
        return (gradient[:, None] * ctx.slopes).to(ctx.dtype), None, None, None, None
