"""Rows that grow under our Llama: the trunk step is taken before ended rows are dropped, the top's after it.

A row that ends is dropped only after its last token, EOS or not, has passed the trunk: policy, reference, reward and
value all read the state of that token.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rlhf.training.model.attention import Attention, KeyValueCache
from rlhf.training.model.growing import GrowingRows
from rlhf.training.model.weights import LayerWeights

if TYPE_CHECKING:
    from rlhf.training.model.transformer import Transformer


class LlamaRows(GrowingRows):
    """`weights`: the top's layers, packed, with the adapter merged in."""

    def __init__(
        self,
        model: "Transformer",
        weights: Mapping[int, LayerWeights],
        prompts: Sequence[Sequence[int]],
        *,
        copies: int,
        max_tokens: int,
    ) -> None:
        super().__init__(model, prompts, copies=copies, max_tokens=max_tokens)
        self.model, self.weights = model, weights
        self.cache = KeyValueCache(self.prompt_lengths, copies=copies)
        self._trunk = self._states = torch.empty(0)  # of the last step [R, 1, D]; of all [N, T, D]
        self._keeps_states = False

    def begin(self, *, keep_states: bool) -> Tensor:
        rope = self.model.rope(torch.arange(self.prompts.shape[1], device=self.model.device))
        trunk_layers = range(self.model.trunk_layers)
        embedded = self.model.embed(self.prompts)
        trunk = self.model.run_layers(embedded, trunk_layers, rope=rope, attend=self.cache.prefill)
        hidden = self._top(trunk, rope, self.cache.prefill)
        self._keeps_states = keep_states
        if keep_states:
            self._states = trunk.new_zeros(*self.ids.shape, trunk.shape[2])
            self._states[:, : self.prompts.shape[1]] = trunk.repeat_interleave(self.copies, dim=0)
        last = self.prompt_lengths - 1
        return hidden[torch.arange(len(last), device=last.device), last].repeat_interleave(self.copies, dim=0)

    def read(self, rows: Tensor, tokens: Tensor, step: int) -> None:
        self.cache.advance()
        layers = range(self.model.trunk_layers)
        embedded = self.model.embed(tokens[:, None])
        self._trunk = self.model.run_layers(embedded, layers, rope=self._rope(rows), attend=self.cache.attend)
        if self._keeps_states:
            self._states[rows, self.starts[rows] + step] = self._trunk[:, 0]

    def keep(self, growing: Tensor) -> None:
        self._trunk = self._trunk[growing]
        self.cache.keep(growing.nonzero()[:, 0])

    def next(self, rows: Tensor) -> Tensor:
        return self._top(self._trunk, self._rope(rows), self.cache.attend)[:, 0]

    def trunk_states(self, longest: int) -> Tensor:
        return self._states[:, :longest]

    def _rope(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The rotation at the last written token of rows that grow."""
        return self.model.rope((self.starts[rows] + self.counts[rows] - 1)[:, None])

    def _top(self, trunk: Tensor, rope: tuple[Tensor, Tensor], attend: Attention) -> Tensor:
        layers = range(self.model.trunk_layers, self.model.config.layers)
        states = self.model.run_layers(trunk, layers, rope=rope, attend=attend, weights=self.weights)
        return self.model.final_norm(states)
