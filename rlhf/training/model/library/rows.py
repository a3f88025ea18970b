"""Rows that grow under a model of transformers: prompts padded on the left, one prefill, its own cache.

Pads on the left keep each row's tokens side by side in the cache, which windows of attention and recurrent layers
need; positions and mask are the rows' own.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import DynamicCache

from rlhf.training.model.growing import GrowingRows
from rlhf.training.model.library.module_adapter import Chosen
from rlhf.training.model.rollout import PAD

if TYPE_CHECKING:
    from rlhf.training.model.library.decoder import LibraryDecoder


class LibraryRows(GrowingRows):
    """The last token of a row is never read while it grows: the trunk's states are computed at the end."""

    def __init__(
        self,
        model: "LibraryDecoder",
        chosen: Chosen,
        prompts: Sequence[Sequence[int]],
        *,
        copies: int,
        max_tokens: int,
    ) -> None:
        super().__init__(model, prompts, copies=copies, max_tokens=max_tokens)
        self.model, self.chosen = model, chosen
        self.cache = DynamicCache(config=model.model.config)
        self._mask = torch.empty(0)  # [R, columns of the cache]

    def begin(self, *, keep_states: bool) -> Tensor:
        width = self.prompts.shape[1]
        columns = torch.arange(width, device=self.prompts.device) - (width - self.prompt_lengths)[:, None]
        mask, positions = (columns >= 0).long(), columns.clamp(min=0)
        ids = self.prompts.gather(1, positions).masked_fill(mask == 0, PAD)
        hidden = self.model.run_cached(ids, mask, positions, self.cache, self.chosen)[:, -1]
        copies = torch.arange(len(ids), device=ids.device).repeat_interleave(self.copies)
        self.cache.reorder_cache(copies)
        self._mask = mask[copies]
        return hidden[copies]

    def read(self, rows: Tensor, tokens: Tensor, step: int) -> None:
        """Read in `next`, by those that go on."""

    def keep(self, growing: Tensor) -> None:
        rows = growing.nonzero()[:, 0]
        self.cache.reorder_cache(rows)
        self._mask = self._mask[rows]

    def next(self, rows: Tensor) -> Tensor:
        last = (self.starts[rows] + self.counts[rows] - 1)[:, None]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(rows), 1)], dim=1)
        ids = self.ids[rows].gather(1, last)
        return self.model.run_cached(ids, self._mask, last, self.cache, self.chosen)[:, -1]

    def trunk_states(self, longest: int) -> Tensor:
        return self.model.run_trunk(self.ids[:, :longest])
