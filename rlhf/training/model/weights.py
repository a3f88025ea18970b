"""Reads a Llama policy directory: config.json, and safetensors as the tensors of the forward pass."""

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from base import own_llama
from rlhf.training.model.ends import end_ids
from rlhf.training.model.packing import packed
from rlhf.training.model.rope import UnsupportedArchitecture


@dataclass(frozen=True)
class TransformerConfig:
    """The fields of a Llama config.json that the forward pass needs; anything it cannot honour is an error."""

    hidden_size: int
    layers: int
    heads: int
    key_value_heads: int
    head_size: int
    vocabulary: int
    norm_epsilon: float
    max_positions: int
    rope: Mapping[str, Any]
    tied: bool
    eos: tuple[int, ...]  # the ids that end a completion

    @classmethod
    def read(cls, directory: Path) -> "TransformerConfig":
        raw = json.loads((directory / "config.json").read_text())
        if (found := own_llama.obstacle(raw)) is not None:
            raise UnsupportedArchitecture(*found)
        heads = raw["num_attention_heads"]
        return cls(
            hidden_size=raw["hidden_size"],
            layers=raw["num_hidden_layers"],
            heads=heads,
            key_value_heads=raw.get("num_key_value_heads") or heads,
            head_size=raw.get("head_dim") or raw["hidden_size"] // heads,
            vocabulary=raw["vocab_size"],
            norm_epsilon=raw.get("rms_norm_eps", 1e-6),
            max_positions=raw.get("max_position_embeddings", 2048),
            rope=own_llama.rope_of(raw),
            tied=bool(raw.get("tie_word_embeddings", False)),
            eos=end_ids(directory),
        )


@dataclass(frozen=True)
class LayerWeights:
    """One layer, projections that read the same input fused into one matrix: [outputs, inputs]."""

    qkv: Tensor  # [(H + 2G) * E, D]
    output: Tensor  # [D, H * E]
    gate_up: Tensor  # [2F, D]
    down: Tensor  # [D, F]
    attention_norm: Tensor  # [D], residual dtype
    mlp_norm: Tensor  # [D], residual dtype

    def packed(self) -> "LayerWeights":
        """The same layer for passes without gradient."""
        matrices = {name: packed(getattr(self, name)) for name in ("qkv", "output", "gate_up", "down")}
        return replace(self, **matrices)


def read_tensors(
    directory: Path, dtype: torch.dtype, device: str, names: Container[str] | None = None
) -> dict[str, Tensor]:
    """Every tensor of the directory's safetensors files, by name, or those of `names`."""
    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{directory} contains no .safetensors file")
    state: dict[str, Tensor] = {}
    for file in files:
        with safe_open(file, framework="pt") as reader:
            wanted = [name for name in reader.keys() if names is None or name in names]  # noqa: SIM118
            state.update({name: reader.get_tensor(name).to(device, dtype) for name in wanted})
    return state


def layer_names(index: int) -> list[str]:
    """What `fuse_layer` needs of one layer."""
    matrices = [f"self_attn.{name}_proj" for name in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
    parts = [*matrices, "input_layernorm", "post_attention_layernorm"]
    return [f"model.layers.{index}.{part}.weight" for part in parts]


def fuse_layer(state: Mapping[str, Tensor], index: int, residual: torch.dtype) -> LayerWeights:
    """The named tensors of one layer as `LayerWeights`."""
    at = f"model.layers.{index}."
    attention = [state[f"{at}self_attn.{name}_proj.weight"] for name in "qkv"]
    return LayerWeights(
        qkv=torch.cat(attention),
        output=state[f"{at}self_attn.o_proj.weight"],
        gate_up=torch.cat([state[f"{at}mlp.gate_proj.weight"], state[f"{at}mlp.up_proj.weight"]]),
        down=state[f"{at}mlp.down_proj.weight"],
        attention_norm=state[f"{at}input_layernorm.weight"].to(residual),
        mlp_norm=state[f"{at}post_attention_layernorm.weight"].to(residual),
    )
