"""The output layer: from hidden states to logits, with all that families put around the matrix, in one place.

M token positions, D hidden size, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Head:
    """logits = cap * tanh((weight . hidden + bias) / divisor / cap), without what a family does not have."""

    weight: Tensor  # [V, D]
    bias: Tensor | None = None  # [V]
    divisor: float = 1.0  # Granite's logits_scaling; one over Cohere's logit_scale
    cap: float | None = None  # Gemma's final_logit_softcapping

    @classmethod
    def of(cls, head: "Head | Tensor") -> "Head":
        """A bare matrix is a head without anything around it."""
        return head if isinstance(head, Head) else cls(head)

    @property
    def dtype(self) -> torch.dtype:
        return self.weight.dtype

    def logits(self, hidden: Tensor, temperature: float = 1.0) -> Tensor:
        """hidden [..., D] -> logits / temperature [..., V] in the weights' dtype.

        Without a cap the temperature divides the hidden states, which are fewer.
        """
        inner = self.divisor * (temperature if self.cap is None else 1.0)
        bias = None if self.bias is None else self.bias / inner
        logits = functional.linear((hidden / inner).to(self.dtype), self.weight, bias)
        if self.cap is None:
            return logits
        return torch.tanh(logits / self.cap) * (self.cap / temperature)

    def slopes(self, logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """d log softmax(logits)[target] / d hidden [M, D], from what `logits` gave at that temperature, in fp32 (fp64
        for fp64): (weight[target] - sum_v p(v) weight[v]) / temperature where there is nothing around the matrix."""
        wide = torch.float64 if self.dtype == torch.float64 else torch.float32
        scale = temperature * self.divisor
        if self.cap is None:
            expected = functional.softmax(logits, -1) @ self.weight
            return (self.weight[targets].to(wide) - expected) / scale
        capped = logits.to(wide)
        steepness = 1 - (capped * (temperature / self.cap)).square()  # of the cap, [M, V]
        pull = -functional.softmax(capped, -1) * steepness
        pull = pull.scatter_add(1, targets[:, None], steepness.gather(1, targets[:, None]))
        return (pull.to(self.dtype) @ self.weight).to(wide) / scale
