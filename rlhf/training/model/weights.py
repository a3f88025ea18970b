"""Reads a Llama policy directory: config.json, and safetensors as the tensors of the forward pass."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

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
        if raw.get("model_type") != "llama":
            raise UnsupportedArchitecture("model_type", raw.get("model_type"))
        for key, wanted in {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}.items():
            if raw.get(key, wanted) != wanted:
                raise UnsupportedArchitecture(key, raw[key])
        heads = raw["num_attention_heads"]
        rope = raw.get("rope_parameters") or {**(raw.get("rope_scaling") or {})}
        rope.setdefault("rope_theta", raw.get("rope_theta", 10000.0))
        return cls(
            hidden_size=raw["hidden_size"],
            layers=raw["num_hidden_layers"],
            heads=heads,
            key_value_heads=raw.get("num_key_value_heads") or heads,
            head_size=raw.get("head_dim") or raw["hidden_size"] // heads,
            vocabulary=raw["vocab_size"],
            norm_epsilon=raw.get("rms_norm_eps", 1e-6),
            max_positions=raw.get("max_position_embeddings", 2048),
            rope=rope,
            tied=bool(raw.get("tie_word_embeddings", False)),
            eos=_end_ids(raw.get("eos_token_id")),
        )


def _end_ids(field: int | list[int] | None) -> tuple[int, ...]:
    """config.json's eos_token_id is one id, several, or absent."""
    if field is None:
        return ()
    return (field,) if isinstance(field, int) else tuple(field)


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


def read_tensors(directory: Path, dtype: torch.dtype, device: str) -> dict[str, Tensor]:
    """Every tensor of the directory's safetensors files, by name."""
    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{directory} contains no .safetensors file")
    state: dict[str, Tensor] = {}
    for file in files:
        with safe_open(file, framework="pt", device=device) as reader:
            state.update({name: reader.get_tensor(name).to(dtype) for name in reader.keys()})  # noqa: SIM118
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
