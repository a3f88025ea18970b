"""What training needs of a frozen base model, whichever backend computes it.

The layers are split: the lower ones, the trunk, run once for policy, reference and reward model; the upper ones, the
top, are what adapters change. B rows, T positions, D hidden size, V vocabulary.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from rlhf.training.model.adapter import Adapter
from rlhf.training.model.head import Head

if TYPE_CHECKING:
    from rlhf.training.model.growing import GrowingRows


class DecoderConfig(Protocol):
    """The facts of a base that stages ask for."""

    @property
    def hidden_size(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def max_positions(self) -> int: ...
    @property
    def eos(self) -> tuple[int, ...]:
        """The ids that end a completion."""
        ...


class Decoder(Protocol):
    """A frozen base. `trunk_layers` lower layers are the trunk; an adapter changes all others."""

    @property
    def backend(self) -> str:
        """Its name, one of `choice.BACKENDS`."""
        ...

    @property
    def config(self) -> DecoderConfig: ...
    @property
    def trunk_layers(self) -> int: ...
    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        ...

    @property
    def residual_dtype(self) -> torch.dtype:
        """Of hidden states as they are returned: fp32, or fp64 for fp64 weights."""
        ...

    @property
    def device(self) -> torch.device: ...
    @property
    def head(self) -> Head: ...
    @property
    def embedding(self) -> Tensor:
        """[V, D], by whose identity bases with a shared trunk know each other."""
        ...

    def run_trunk(self, ids: Tensor) -> Tensor:
        """ids [B, T], right-padded -> trunk states [B, T, D], without gradient; the pads' states mean nothing."""
        ...

    def run_top(
        self,
        states: Tensor,
        adapter: Adapter | None = None,
        *,
        weights: Any = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Trunk states [B, T, D], right-padded -> hidden states after the final norm [B, T, D], residual dtype.

        `adapter` None is the reference model. `weights`, from `merge`, is quicker where no gradient is wanted. Given
        the rows' `lengths` [B], the hidden states of the pads are zero.
        """
        ...

    def merge(self, adapter: Adapter) -> Any:
        """The top with the adapter folded in, for `run_top`; a copy that takes the memory of the top's matrices."""
        ...

    def final_norm(self, states: Tensor) -> Tensor:
        """States of any layer under the norm before the head, residual dtype."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [..., D] -> logits [..., V] in the weights' dtype, without gradient (for that: token_log_probs)."""
        ...

    def fresh_adapter(self, *, rank: int, alpha: float, seed: int) -> Adapter:
        """An adapter over the whole top that changes nothing yet."""
        ...

    def fast_top(self, adapter: Adapter | None) -> Any:
        """The top with the adapter folded in, laid out for many small passes."""
        ...

    def grow(self, prompts: Sequence[Sequence[int]], *, copies: int, max_tokens: int, weights: Any) -> "GrowingRows":
        """Rows to sample, `copies` of each prompt, under the `weights` that `fast_top` made."""
        ...

    def with_top_of(self, directory: Path) -> "Decoder":
        """The top layers of another policy directory on the trunk, embedding and head of this one, which both share.

        Whether these are the other's, too, is for the caller to know.
        """
        ...

    def gathered(self) -> AbstractContextManager[None]:
        """Inside, a base that is divided among processes is whole in each, which may then make passes of its own."""
        ...

    def shares_trunk(self, other: Any) -> bool:
        """Whether the trunk states of one are those of the other."""
        ...
