"""The Llama family's forward pass, split into a frozen trunk that runs once and a top that adapters change.

Knows nothing of tokenizers, sampling or rewards. Weights stay in one dtype (bf16 by default) while the residual
stream between the layers is fp32: a bf16 stream costs 0.034 nats a token, measured, and nothing is gained.
Letters: B rows, T positions, D hidden size, H query heads, G key/value heads, E size of one head, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from rlhf.training.model.adapter import Adapter, AdapterMismatch
from rlhf.training.model.attention import Attention, DenseRows, attend_whole_rows
from rlhf.training.model.fused_adapter import FusedAdapter
from rlhf.training.model.head import Head
from rlhf.training.model.llama_rows import LlamaRows
from rlhf.training.model.packing import linear, packed
from rlhf.training.model.rope import inverse_frequencies
from rlhf.training.model.weights import LayerWeights, TransformerConfig, fuse_layer, layer_names, read_tensors


class LayerAdapter(Protocol):
    """What an adapter adds to one layer's projections."""

    def add(self, projection: str, inputs: Tensor, outputs: Tensor) -> Tensor:
        """`outputs` plus the adapter's part of `projection` ("qkv", "output", "gate_up", "down")."""
        ...


class Adapters(Protocol):
    """Hands out the part of each layer; None leaves the layer as the base has it."""

    def layer(self, index: int) -> LayerAdapter | None: ...


class Transformer:
    """A frozen Llama, one of the backends (decoder.py)."""

    def __init__(
        self,
        config: TransformerConfig,
        embedding: Tensor,
        layers: Sequence[LayerWeights],
        norm: Tensor,
        head: Tensor,
        *,
        adapted_layers: int,
    ) -> None:
        if not 0 < adapted_layers <= config.layers:
            raise ValueError(f"adapted_layers must be within 1..{config.layers}, not {adapted_layers}")
        self.config = config
        self.embedding = embedding  # [V, D]
        trunk = config.layers - adapted_layers
        self.layers = tuple(layer.packed() if index < trunk else layer for index, layer in enumerate(layers))
        self.norm = norm  # [D], residual dtype
        self.head = Head(head)  # [V, D]; the embedding itself where they are tied
        self._packed_head = packed(head)
        self.trunk_layers = trunk
        self.dtype = embedding.dtype
        self.device = embedding.device
        self.residual_dtype = torch.float64 if self.dtype == torch.float64 else torch.float32
        self._rope = (torch.empty(0), torch.empty(0))

    @classmethod
    def load(
        cls,
        directory: Path | str,
        *,
        dtype: torch.dtype = torch.bfloat16,
        adapted_layers: int = 10,
        device: str = "cpu",
    ) -> "Transformer":
        """Read a policy directory (config.json and safetensors, sharded or not)."""
        config = TransformerConfig.read(Path(directory))
        state = read_tensors(Path(directory), dtype, device)
        return cls.of(config, state, adapted_layers=adapted_layers)

    @classmethod
    def of(cls, config: TransformerConfig, state: Mapping[str, Tensor], *, adapted_layers: int = 10) -> "Transformer":
        """From tensors under Hugging Face's names, all of one dtype and on one device."""
        embedding = state["model.embed_tokens.weight"]
        residual = torch.float64 if embedding.dtype == torch.float64 else torch.float32
        head = embedding if config.tied else state["lm_head.weight"]
        layers = [fuse_layer(state, index, residual) for index in range(config.layers)]
        norm = state["model.norm.weight"].to(residual)
        adapted = min(adapted_layers, config.layers)
        return cls(config, embedding, layers, norm, head, adapted_layers=adapted)

    def with_top_of(self, directory: Path) -> "Transformer":
        """The top layers of another policy directory on the trunk, embedding and head of this one, which both share.

        Whether these are the other's, too, is for the caller to know.
        """
        top = range(self.trunk_layers, self.config.layers)
        names = {name for index in top for name in layer_names(index)}
        state = read_tensors(directory, self.dtype, str(self.device), names)
        other = copy(self)
        other.layers = (
            *self.layers[: self.trunk_layers],
            *(fuse_layer(state, index, self.residual_dtype) for index in top),
        )
        return other

    def gathered(self) -> AbstractContextManager[None]:
        return nullcontext()

    def shares_trunk(self, other: Any) -> bool:
        """Whether the trunk states of one are those of the other."""
        return self.embedding is other.embedding and self.trunk_layers == other.trunk_layers

    @property
    def backend(self) -> str:
        return "llama"

    def fresh_adapter(self, *, rank: int, alpha: float, seed: int) -> Adapter:
        return FusedAdapter.fresh(self, rank=rank, alpha=alpha, seed=seed)

    def merge(self, adapter: Adapter) -> Mapping[int, LayerWeights]:
        if not isinstance(adapter, FusedAdapter):
            raise AdapterMismatch("it was made for a model of transformers, not for our Llama")
        return adapter.merged(self)

    def fast_top(self, adapter: Adapter | None) -> Mapping[int, LayerWeights]:
        top = range(self.trunk_layers, self.config.layers)
        merged = self.merge(adapter) if adapter is not None else {index: self.layers[index] for index in top}
        return {index: layer.packed() for index, layer in merged.items()}

    def grow(
        self, prompts: Sequence[Sequence[int]], *, copies: int, max_tokens: int, weights: Mapping[int, LayerWeights]
    ) -> LlamaRows:
        return LlamaRows(self, weights, prompts, copies=copies, max_tokens=max_tokens)

    def embed(self, ids: Tensor) -> Tensor:
        """ids [B, T] -> states [B, T, D] in the residual dtype."""
        return functional.embedding(ids, self.embedding).to(self.residual_dtype)

    def rope(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """positions [T] or [B, T] -> (cos, sin) [..., 1, T, E/2], ready to meet [B, heads, T, E/2]."""
        needed = int(positions.max()) + 1
        if self._rope[0].shape[0] < needed:
            frequencies = inverse_frequencies(self.config.rope, self.config.head_size, self.config.max_positions)
            grid = torch.outer(torch.arange(max(needed, 512)).double(), frequencies.double())
            self._rope = tuple(t.to(self.device, self.residual_dtype) for t in (grid.cos(), grid.sin()))  # type: ignore[assignment]
        cos, sin = self._rope
        return cos[positions].unsqueeze(-3), sin[positions].unsqueeze(-3)

    def run_layers(
        self,
        states: Tensor,
        indices: range,
        *,
        rope: tuple[Tensor, Tensor],
        attend: Attention = attend_whole_rows,
        adapter: Adapters | None = None,
        weights: Mapping[int, LayerWeights] | None = None,
    ) -> Tensor:
        """states [B, T, D] -> [B, T, D] through the layers `indices`; `weights` replaces those of merged layers."""
        for index in indices:
            layer = weights[index] if weights and index in weights else self.layers[index]
            part = adapter.layer(index) if adapter is not None else None
            states = self._layer(states, index, layer, rope, attend, part)
        return states

    def run_trunk(self, ids: Tensor) -> Tensor:
        """ids [B, T], right-padded -> trunk states [B, T, D], without gradient; the pads' states mean nothing."""
        with torch.no_grad():
            rope = self.rope(torch.arange(ids.shape[1], device=self.device))
            return self.run_layers(self.embed(ids.to(self.device)), range(self.trunk_layers), rope=rope)

    def run_top(
        self,
        states: Tensor,
        adapter: Adapter | None = None,
        *,
        weights: Mapping[int, LayerWeights] | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Trunk states [B, T, D], right-padded -> hidden states after the final norm [B, T, D], residual dtype.

        `adapter` None is the reference model. `weights` from `merge` is quicker where no gradient is wanted.
        Given the rows' `lengths` [B], no work is spent on the pads, whose hidden states are then zero.
        """
        states, top = states.to(self.device), range(self.trunk_layers, self.config.layers)
        if lengths is None:
            rope = self.rope(torch.arange(states.shape[1], device=states.device))
            return self.final_norm(self.run_layers(states, top, rope=rope, adapter=adapter, weights=weights))
        rows = DenseRows(lengths.to(self.device), states.shape[1])
        rope, dense = self.rope(rows.positions), rows.flatten(states)
        dense = self.run_layers(dense, top, rope=rope, attend=rows.attend, adapter=adapter, weights=weights)
        return rows.restore(self.final_norm(dense))

    def final_norm(self, states: Tensor) -> Tensor:
        return self._normalise(states, self.norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [..., D] -> logits [..., V] in the weights' dtype, without gradient (for that: token_log_probs)."""
        return linear(hidden.to(self.dtype), self._packed_head)

    def _normalise(self, states: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(states, (states.shape[-1],), weight, self.config.norm_epsilon)

    def _layer(
        self,
        states: Tensor,
        index: int,
        layer: LayerWeights,
        rope: tuple[Tensor, Tensor],
        attend: Attention,
        adapter: LayerAdapter | None,
    ) -> Tensor:
        def project(name: str, weight: Tensor, inputs: Tensor) -> Tensor:
            outputs = linear(inputs, weight)
            return outputs if adapter is None else adapter.add(name, inputs, outputs)

        inputs = self._normalise(states, layer.attention_norm).to(self.dtype)
        queries, keys, values = self._heads(project("qkv", layer.qkv, inputs), rope)
        mixed = attend(index, queries, keys, values).transpose(1, 2).flatten(2)
        states = states + project("output", layer.output, mixed)
        inputs = self._normalise(states, layer.mlp_norm).to(self.dtype)
        gate, up = project("gate_up", layer.gate_up, inputs).chunk(2, dim=-1)
        return states + project("down", layer.down, functional.silu(gate) * up)

    def _heads(self, qkv: Tensor, rope: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """[B, T, (H + 2G) * E] -> queries [B, H, T, E], keys and values [B, G, T, E], the first two rotated."""
        config = self.config
        heads = qkv.view(*qkv.shape[:2], -1, config.head_size).transpose(1, 2)
        rotated = config.heads + config.key_value_heads
        turned = _rotate(heads[:, :rotated], *rope).to(self.dtype)
        return turned[:, : config.heads], turned[:, config.heads :], heads[:, rotated:]


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding in the halves layout (RoFormer, arXiv:2104.09864, section 3.4; layout of GPT-NeoX)."""
    first, second = heads.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
