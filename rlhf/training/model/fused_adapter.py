"""LoRA adapters for our Llama: each fused projection of a layer has its parts' matrices stacked.

Products run in the base's dtype.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rlhf.training.model.adapter import Adapter, LoraMatrices
from rlhf.training.model.weights import LayerWeights

if TYPE_CHECKING:
    from rlhf.training.model.transformer import Transformer


FUSED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "output": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


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


class FusedAdapter(Adapter):
    """LoRA on every projection of the layers `first_layer`.. to the top of one Llama."""

    def __init__(self, layers: Mapping[int, LayerLora], *, rank: int, alpha: float) -> None:
        super().__init__(rank=rank, alpha=alpha)
        self._layers = dict(layers)

    @classmethod
    def fresh(cls, transformer: "Transformer", *, rank: int, alpha: float, seed: int) -> "FusedAdapter":
        """A uniform within 1/sqrt(inputs) as PEFT draws it, B zero, so that it changes nothing."""
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

    @property
    def layers(self) -> list[int]:
        return sorted(self._layers)

    def layer(self, index: int) -> LayerLora | None:
        return self._layers.get(index)

    def parameters(self) -> list[Tensor]:
        return [tensor for layer in self._layers.values() for tensor in _layer_tensors(layer)]

    def merged(self, transformer: "Transformer") -> dict[int, LayerWeights]:
        """Layers with the adapter added into the base's matrices, for sampling and scoring without gradient."""
        merged = {}
        with torch.no_grad():
            for index, lora in self._layers.items():
                base = transformer.layers[index]
                sums = {name: _added(getattr(base, name), lora.delta(name)) for name in FUSED}
                merged[index] = replace(base, **sums)
        return merged

    def copy(self) -> "FusedAdapter":
        layers = {
            index: LayerLora(
                {name: _copied(tensor) for name, tensor in layer.a.items()},
                {name: tuple(map(_copied, parts)) for name, parts in layer.b.items()},
                layer.scale,
            )
            for index, layer in self._layers.items()
        }
        return FusedAdapter(layers, rank=self.rank, alpha=self.alpha)

    def named(self) -> dict[str, LoraMatrices]:
        """A is a view of the fused one."""
        named = {}
        for index, layer in self._layers.items():
            for fused, parts in FUSED.items():
                stacked = layer.a[fused].detach().chunk(len(parts))
                for part, a, b in zip(parts, stacked, layer.b[fused], strict=True):
                    named[f"model.layers.{index}.{part}"] = LoraMatrices(a, b.detach(), layer.scale)
        return named


def _fused_shapes(layer: LayerWeights, transformer: "Transformer") -> dict[str, tuple[tuple[int, ...], int]]:
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


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def _added(weight: Tensor, delta: Tensor) -> Tensor:
    return (weight + delta).to(weight.dtype)
