"""LoRA adapters beside the linear modules of a model of transformers: several over one base, one chosen a call.

A hook on each module adds the chosen adapter's part to what the module gives, so the modules and their names stay the
model's own, quantised ones too. Parameters are fp32; products run in the dtype of the module's output.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rlhf.training.model.adapter import Adapter, AdapterMismatch, LoraMatrices, layer_of


class ModuleAdapter(Adapter):
    """Matrices by module name, in the order of the model."""

    def __init__(self, matrices: Mapping[str, tuple[Tensor, Tensor]], *, rank: int, alpha: float) -> None:
        super().__init__(rank=rank, alpha=alpha)
        self._matrices = dict(matrices)  # A [rank, inputs], B [outputs, rank]
        self._scale = alpha / rank

    @classmethod
    def fresh(
        cls, modules: Mapping[str, nn.Linear], device: torch.device, *, rank: int, alpha: float, seed: int
    ) -> "ModuleAdapter":
        """A uniform within 1/sqrt(inputs) as PEFT draws it, B zero, so that it changes nothing."""
        generator = torch.Generator().manual_seed(seed)
        matrices = {}
        for name, module in modules.items():
            draw = (2 * torch.rand(rank, module.in_features, generator=generator) - 1) * module.in_features**-0.5
            a = draw.to(device).requires_grad_()
            matrices[name] = (a, torch.zeros(module.out_features, rank, device=device).requires_grad_())
        return cls(matrices, rank=rank, alpha=alpha)

    @property
    def layers(self) -> list[int]:
        return sorted({layer_of(name) for name in self._matrices})

    def parameters(self) -> list[Tensor]:
        return [tensor for pair in self._matrices.values() for tensor in pair]

    def named(self) -> dict[str, LoraMatrices]:
        return {name: LoraMatrices(a.detach(), b.detach(), self._scale) for name, (a, b) in self._matrices.items()}

    def copy(self) -> "ModuleAdapter":
        copies = {name: (_copied(a), _copied(b)) for name, (a, b) in self._matrices.items()}
        return ModuleAdapter(copies, rank=self.rank, alpha=self.alpha)

    def add(self, name: str, inputs: Tensor, outputs: Tensor) -> Tensor:
        """`outputs` [..., outputs] of a module plus the adapter's part for its `inputs` [..., inputs]."""
        a, b = self._matrices[name]
        inner = inputs.flatten(0, -2).to(outputs.dtype) @ a.to(outputs.dtype).T
        outer = (b * self._scale).to(outputs.dtype)
        return torch.addmm(outputs.flatten(0, -2), inner, outer.T).view_as(outputs)


class MergedWeights:
    """Matrices of the modules with an adapter added, in the base's dtype."""

    def __init__(self, weights: Mapping[str, nn.Parameter]) -> None:
        self.weights = weights


Chosen = ModuleAdapter | MergedWeights | None


class AdapterSwitch:
    """The modules of one model that adapters change, and which adapter is on."""

    def __init__(self, modules: Mapping[str, nn.Linear]) -> None:
        self.modules = dict(modules)
        self.is_divided = False
        """Whether each process holds a part of the modules' matrices."""
        self._adapter: ModuleAdapter | None = None
        for name, module in self.modules.items():
            module.register_forward_hook(partial(self._add, name))

    @contextmanager
    def using(self, chosen: Chosen) -> Iterator[None]:
        """Inside, the model runs with this adapter, or these matrices; with None it is the base."""
        before = self._adapter
        self._adapter = chosen if isinstance(chosen, ModuleAdapter) else None
        swapped = chosen.weights if isinstance(chosen, MergedWeights) else {}
        own = self._swap(swapped)
        try:
            yield
        finally:
            self._swap(own)
            self._adapter = before

    def for_checkpoints(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Contexts of a layer's forward pass and of its second one during backward, when `using` has ended."""
        return nullcontext(), self.using(self._adapter)

    @torch.no_grad()
    def merged(self, adapter: ModuleAdapter) -> Chosen:
        """The adapter's matrices added to the base's; the adapter itself where those are quantised or divided."""
        if self.is_divided or any(type(module) is not nn.Linear for module in self.modules.values()):
            return adapter
        return MergedWeights(
            {
                name: nn.Parameter((self.modules[name].weight + scale * b @ a).to(self.modules[name].weight.dtype))
                for name, (a, b, scale) in adapter.named().items()
            }
        )

    def _add(self, name: str, module: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor | None:
        return None if self._adapter is None else self._adapter.add(name, inputs[0], outputs)

    def _swap(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """Put these in place; returns what was there."""
        own = {name: self.modules[name].weight for name in weights}
        for name, weight in weights.items():
            self.modules[name].weight = weight
        return own


def own_kind(adapter: Adapter) -> ModuleAdapter:
    """Raises AdapterMismatch for an adapter of another backend."""
    if not isinstance(adapter, ModuleAdapter):
        raise AdapterMismatch("it was made for our Llama, not for a model of transformers")
    return adapter


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)
