"""LoRA adapters: small trainable matrices beside the frozen base, one set each for policy and reward model.

Source: Hu et al., arXiv:2106.09685, section 4.1. An adapter that is left out is the reference model, so base and
reference share their weights. Parameters and their gradients are fp32; products run in the base's dtype.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf.training.model.transformer import Transformer
from rlhf.training.model.weights import LayerWeights

FUSED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "output": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"


class AdapterMismatch(Exception):
    """A saved adapter does not fit the base it is loaded onto."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the adapter does not match this model: {reason}")
        self.reason = reason


@dataclass
class LayerLora:
    """The adapter's matrices of one layer. Fused projections stack their A and set their B block-diagonally."""

    a: dict[str, Tensor]  # fused name -> [parts * rank, inputs]
    b: dict[str, tuple[Tensor, ...]]  # fused name -> for each part [outputs, rank]
    scale: float

    def add(self, projection: str, inputs: Tensor, outputs: Tensor) -> Tensor:
        a = self.a[projection].to(inputs.dtype)
        b = (self._outer(projection) * self.scale).to(inputs.dtype)
        flat = outputs.flatten(0, -2)
        return torch.addmm(flat, inputs.flatten(0, -2) @ a.T, b.T).view_as(outputs)

    def delta(self, projection: str) -> Tensor:
        """The change of the fused matrix, [outputs, inputs], fp32."""
        return self.scale * self._outer(projection) @ self.a[projection]

    def _outer(self, projection: str) -> Tensor:
        """[outputs, parts * rank]: the B of each part beside its own A only."""
        parts = self.b[projection]
        return parts[0] if len(parts) == 1 else torch.block_diag(*parts)  # type: ignore[no-untyped-call]


class Adapter:
    """LoRA on every projection of the layers `first_layer`.. to the top of one base."""

    def __init__(self, layers: Mapping[int, LayerLora], *, rank: int, alpha: float) -> None:
        self._layers = dict(layers)
        self.rank = rank
        self.alpha = alpha

    @classmethod
    def create(cls, transformer: Transformer, *, rank: int = 16, alpha: float = 32.0, seed: int = 0) -> "Adapter":
        """A fresh adapter: A uniform within 1/sqrt(inputs) as PEFT draws it, B zero, so that it changes nothing."""
        generator = torch.Generator().manual_seed(seed)
        layers = {}
        for index in range(transformer.trunk_layers, transformer.config.layers):
            shapes = _fused_shapes(transformer.layers[index], transformer)
            a, b = {}, {}
            for name, (outputs, inputs) in shapes.items():
                bound = inputs**-0.5
                draw = torch.rand(len(outputs) * rank, inputs, generator=generator)
                a[name] = ((2 * draw - 1) * bound).to(transformer.device).requires_grad_()
                b[name] = tuple(torch.zeros(n, rank, device=transformer.device).requires_grad_() for n in outputs)
            layers[index] = LayerLora(a, b, alpha / rank)
        return cls(layers, rank=rank, alpha=alpha)

    def layer(self, index: int) -> LayerLora | None:
        return self._layers.get(index)

    def parameters(self) -> list[Tensor]:
        """The trainable tensors, always in the same order."""
        return [tensor for layer in self._layers.values() for tensor in _layer_tensors(layer)]

    def copy_from(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the parameters in place, in the order of `parameters`."""
        with torch.no_grad():
            for mine, theirs in zip(self.parameters(), tensors, strict=True):
                mine.copy_(theirs)

    def merged(self, transformer: Transformer) -> dict[int, LayerWeights]:
        """Layers with the adapter added into the base's matrices, for sampling and scoring without gradient."""
        merged = {}
        with torch.no_grad():
            for index, lora in self._layers.items():
                base = transformer.layers[index]
                sums = {name: _added(getattr(base, name), lora.delta(name)) for name in FUSED}
                merged[index] = replace(base, **sums)
        return merged

    def merge_into(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A base state dict under Hugging Face's names -> the same with the adapter added, dtypes kept."""
        merged = dict(state)
        with torch.no_grad():
            for name, (a, b, scale) in self._named().items():
                merged[f"{name}.weight"] = _added(state[f"{name}.weight"], scale * b @ a)
        return merged

    def state(self) -> dict[str, Tensor]:
        """The tensors under PEFT's names."""
        named = self._named().items()
        pairs = {f"base_model.model.{name}": (a, b) for name, (a, b, _) in named}
        a_side = {f"{name}.lora_A.weight": a.detach().cpu().contiguous().clone() for name, (a, _) in pairs.items()}
        b_side = {f"{name}.lora_B.weight": b.detach().cpu().contiguous().clone() for name, (_, b) in pairs.items()}
        return a_side | b_side

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Overwrite the parameters in place from tensors under PEFT's names."""
        named = self._named()
        if len(state) != 2 * len(named):
            raise AdapterMismatch(f"{len(state)} tensors saved, {2 * len(named)} expected")
        with torch.no_grad():
            for name, (a, b, _) in named.items():
                for target, side in ((a, "lora_A"), (b, "lora_B")):
                    saved = state.get(f"base_model.model.{name}.{side}.weight")
                    if saved is None or saved.shape != target.shape:
                        raise AdapterMismatch(f"{name}.{side} is absent or has another shape")
                    target.copy_(saved)

    def save(self, directory: Path, *, base: str = "") -> None:
        """Write PEFT's adapter_config.json and adapter_model.safetensors, which `peft.PeftModel` reads."""
        directory.mkdir(parents=True, exist_ok=True)
        save_file(self.state(), directory / WEIGHTS_FILE, metadata={"format": "pt"})
        (directory / CONFIG_FILE).write_text(json.dumps(self._config(base), indent=2))

    @classmethod
    def load(cls, directory: Path, transformer: Transformer) -> "Adapter":
        config = json.loads((directory / CONFIG_FILE).read_text())
        top = list(range(transformer.trunk_layers, transformer.config.layers))
        if config["layers_to_transform"] != top:
            raise AdapterMismatch(f"it changes layers {config['layers_to_transform']}, the model's top is {top}")
        adapter = cls.create(transformer, rank=config["r"], alpha=config["lora_alpha"])
        adapter.load_state(load_file(directory / WEIGHTS_FILE))
        return adapter

    def _config(self, base: str) -> dict[str, Any]:
        return {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "target_modules": sorted(part.split(".")[1] for parts in FUSED.values() for part in parts),
            "layers_to_transform": sorted(self._layers),
            "layers_pattern": "layers",
        }

    def _named(self) -> dict[str, tuple[Tensor, Tensor, float]]:
        """Module name of the base -> (A [rank, inputs], B [outputs, rank], scale); A is a view of the fused one."""
        named = {}
        for index, layer in self._layers.items():
            for fused, parts in FUSED.items():
                stacked = layer.a[fused].detach().chunk(len(parts))
                for part, a, b in zip(parts, stacked, layer.b[fused], strict=True):
                    named[f"model.layers.{index}.{part}"] = (a, b.detach(), layer.scale)
        return named


def _fused_shapes(layer: LayerWeights, transformer: Transformer) -> dict[str, tuple[tuple[int, ...], int]]:
    """Fused name -> (outputs of each part, inputs)."""
    config = transformer.config
    key_value = config.key_value_heads * config.head_size
    outputs = {
        "qkv": (config.heads * config.head_size, key_value, key_value),
        "output": (config.hidden_size,),
        "gate_up": (layer.down.shape[1], layer.down.shape[1]),
        "down": (config.hidden_size,),
    }
    return {name: (parts, getattr(layer, name).shape[1]) for name, parts in outputs.items()}


def _layer_tensors(layer: LayerLora) -> list[Tensor]:
    """One layer's trainable tensors in a fixed order."""
    return [tensor for name in FUSED for tensor in (layer.a[name], *layer.b[name])]


def _added(weight: Tensor, delta: Tensor) -> Tensor:
    return (weight + delta).to(weight.dtype)
