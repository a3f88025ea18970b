"""The scopes of a fine-tune: which weights are trained (the head, the last blocks, LoRA, or every weight).

Each scope splits the forward pass into the part below all trained weights, which can be computed once, and the rest.
Trained weights are stored in fp32, because a step is smaller than bf16 resolves, and used in the base's dtype.
B rows, T positions, D hidden size, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from rlhf.training import processes
from rlhf.training.artefacts import policy_directory
from rlhf.training.fine_tuning.config import FineTuneConfig
from rlhf.training.hyperparameters import require
from rlhf.training.model import choice
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.attention import DenseRows
from rlhf.training.model.choice import Placement
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.head import Head
from rlhf.training.model.transformer import Transformer
from rlhf.training.model.weights import LayerWeights, fuse_layer

HEAD, EMBEDDING, NORM = "lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"
BLOCKS_SHARE = 6
"""By default one of so many blocks is trained, from the top."""


class Learner(Protocol):
    """A model of which a part is trained."""

    @property
    def transformer(self) -> Decoder: ...

    def parameters(self) -> list[Tensor]:
        """The trained tensors, always in the same order."""
        ...

    def below(self, ids: Tensor) -> Tensor:
        """ids [B, T], right-padded -> the input of the trained part [B, T, ...], without gradient."""
        ...

    def hidden(self, below: Tensor, lengths: Tensor) -> Tensor:
        """-> hidden states after the final norm [B, T, D]; undefined at the pads."""
        ...

    def head(self) -> Head: ...

    def merge_into(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The base's state under Hugging Face's names -> the same with the trained weights."""
        ...


def _learning_layers(scope: str, layers: int, asked: int | None) -> int:
    """Blocks, counted from the top, in which weights are trained."""
    usual = {"head": 0, "blocks": max(1, layers // BLOCKS_SHARE), "lora": layers, "full": layers}[scope]
    return min(asked, layers) if asked is not None and scope in ("blocks", "lora") else usual


def placed(scope: str, placement: Placement) -> Placement:
    """LoRA is for every family and backend; a base's own weights are trained in our Llama alone, whole ones.
    Raises BadHyperparameter where FSDP would divide those."""
    require(scope == "lora" or not processes.shards_base(), "scope", scope, "FSDP divides the base of LoRA alone")
    return placement if scope == "lora" else replace(placement, backend=choice.LLAMA, bits=16)


def make(scope: str, base: Path, config: FineTuneConfig, *, seed: int, placement: Placement | None = None) -> Learner:
    """A learner whose output still equals its base's. Raises UnsupportedArchitecture."""
    where = placed(scope, placement or Placement())
    layers = max(1, _learning_layers(scope, choice.layers_of(base), config.layers))
    transformer = choice.load(base, adapted_layers=layers, placement=where)
    if scope == "lora":
        return LoraLearner.fresh(transformer, config, seed)
    assert isinstance(transformer, Transformer)
    state = policy_directory.weights(base)
    if scope == "head":
        return HeadLearner(transformer, state[EMBEDDING if transformer.config.tied else HEAD])
    return BlockLearner(transformer, state, everything=scope == "full")


class LoraLearner:
    """Small matrices beside those of the blocks."""

    def __init__(self, transformer: Decoder, adapter: Adapter) -> None:
        self.transformer, self.adapter = transformer, adapter

    @classmethod
    def fresh(cls, transformer: Decoder, config: FineTuneConfig, seed: int) -> "LoraLearner":
        """Over the layers of the transformer's top; its output still equals the base's."""
        return cls(transformer, Adapter.create(transformer, rank=config.rank, alpha=config.alpha, seed=seed))

    def parameters(self) -> list[Tensor]:
        return self.adapter.parameters()

    def below(self, ids: Tensor) -> Tensor:
        return self.transformer.run_trunk(ids)

    def hidden(self, below: Tensor, lengths: Tensor) -> Tensor:
        return self.transformer.run_top(below, self.adapter, lengths=lengths)

    def head(self) -> Head:
        return self.transformer.head

    def merge_into(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        device = self.transformer.device
        merged = self.adapter.merge_into({name: tensor.to(device) for name, tensor in state.items()})
        return {name: tensor.cpu() for name, tensor in merged.items()}


class HeadLearner:
    """The output layer alone. A head tied to the embedding is untied, or the input would change, too."""

    def __init__(self, transformer: Transformer, weight: Tensor) -> None:
        self.transformer = transformer
        self.weight = _master(weight, transformer)

    def parameters(self) -> list[Tensor]:
        return [self.weight]

    def below(self, ids: Tensor) -> Tensor:
        with torch.no_grad():
            return self.transformer.run_top(self.transformer.run_trunk(ids))

    def hidden(self, below: Tensor, lengths: Tensor) -> Tensor:
        return below

    def head(self) -> Head:
        return Head(self.weight.to(self.transformer.dtype))

    def merge_into(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {**state, HEAD: self.weight.detach().cpu()}


class BlockLearner:
    """The last blocks with the final norm; with `everything` all blocks, the embedding and the head."""

    def __init__(self, transformer: Transformer, state: Mapping[str, Tensor], *, everything: bool) -> None:
        self.transformer, self.everything = transformer, everything
        self.top = range(transformer.trunk_layers, transformer.config.layers)
        tied = transformer.config.tied
        self.masters = {
            name: _master(tensor, transformer)
            for name, tensor in state.items()
            if self._learns(name) and not (tied and name == HEAD)
        }

    def parameters(self) -> list[Tensor]:
        return list(self.masters.values())

    def below(self, ids: Tensor) -> Tensor:
        return ids if self.everything else self.transformer.run_trunk(ids)

    def hidden(self, below: Tensor, lengths: Tensor) -> Tensor:
        model = self.transformer
        rows = DenseRows(lengths, below.shape[1])
        states = self._embed(below) if self.everything else below
        dense = model.run_layers(
            rows.flatten(states),
            self.top,
            rope=model.rope(rows.positions),
            attend=rows.attend,
            weights=self._layers(),
        )
        norm = self.masters[NORM].to(model.residual_dtype)
        return rows.restore(functional.rms_norm(dense, (dense.shape[-1],), norm, model.config.norm_epsilon))

    def head(self) -> Head:
        if not self.everything:
            return self.transformer.head
        return Head(self.masters[EMBEDDING if self.transformer.config.tied else HEAD].to(self.transformer.dtype))

    def merge_into(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        learnt = {name: tensor.detach().cpu() for name, tensor in self.masters.items()}
        if self.everything and self.transformer.config.tied:
            learnt |= {name: learnt[EMBEDDING] for name in state if name == HEAD}
        return {**state, **learnt}

    def _learns(self, name: str) -> bool:
        if self.everything or name == NORM:
            return True
        parts = name.split(".")
        return parts[:2] == ["model", "layers"] and int(parts[2]) in self.top

    def _embed(self, ids: Tensor) -> Tensor:
        rounded = self.masters[EMBEDDING].to(self.transformer.dtype)
        return functional.embedding(ids, rounded).to(self.transformer.residual_dtype)

    def _layers(self) -> dict[int, LayerWeights]:
        """The masters in the dtype of the products, norms in that of the residual stream; gradients flow back."""
        model = self.transformer
        used = {name: tensor.to(model.dtype) for name, tensor in self.masters.items() if tensor.ndim == 2}
        used |= {name: tensor for name, tensor in self.masters.items() if tensor.ndim == 1}
        return {index: fuse_layer(used, index, model.residual_dtype) for index in self.top}


def _master(weight: Tensor, transformer: Transformer) -> Tensor:
    """A trainable copy in the residual stream's dtype."""
    return weight.to(transformer.device, transformer.residual_dtype, copy=True).requires_grad_()


def base_hidden(transformer: Decoder, ids: Tensor, lengths: Tensor, reference: Adapter | None = None) -> Tensor:
    """Hidden states [B, T, D] of the base, without any adapter or with that of the reference."""
    with torch.no_grad():
        return transformer.run_top(transformer.run_trunk(ids), reference, lengths=lengths)


def count(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)
