"""LoRA adapters: small trainable matrices beside the frozen base, one set each for policy and reward model.

Source: Hu et al., arXiv:2106.09685, section 4.1. An adapter that is left out is the reference model, so base and
reference share their weights. Parameters and their gradients are fp32. How the matrices stand beside the base is the
backend's; what they are called, how they are saved and how they are merged is the same for all.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

if TYPE_CHECKING:
    from rlhf.training.model.decoder import Decoder
    from rlhf.training.model.transformer import LayerAdapter

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"


class AdapterMismatch(Exception):
    """A saved adapter does not fit the base it is loaded onto."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the adapter does not match this model: {reason}")
        self.reason = reason


class LoraMatrices(NamedTuple):
    """Of one projection: it gives scale * b @ a @ inputs more than the base's."""

    a: Tensor  # [rank, inputs]
    b: Tensor  # [outputs, rank]
    scale: float


class Adapter(ABC):
    """LoRA on every projection of the top layers of one base."""

    def __init__(self, *, rank: int, alpha: float) -> None:
        self.rank = rank
        self.alpha = alpha

    @staticmethod
    def create(transformer: "Decoder", *, rank: int = 16, alpha: float = 32.0, seed: int = 0) -> "Adapter":
        """A fresh adapter of the base's own kind, which changes nothing yet."""
        return transformer.fresh_adapter(rank=rank, alpha=alpha, seed=seed)

    @property
    @abstractmethod
    def layers(self) -> list[int]:
        """Those that it changes, from the bottom."""

    @abstractmethod
    def parameters(self) -> list[Tensor]:
        """The trainable tensors, always in the same order."""

    @abstractmethod
    def named(self) -> dict[str, LoraMatrices]:
        """By the name of the base's module, without a gradient; written to in place they change the adapter."""

    @abstractmethod
    def copy(self) -> "Adapter":
        """Of its own memory; its parameters are trained as these are."""

    def layer(self, index: int) -> "LayerAdapter | None":
        """Its part of one layer of our Llama; None leaves the layer as the base has it."""
        raise AdapterMismatch("it was made for a model of transformers, not for our Llama")

    def copy_from(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the parameters in place, in the order of `parameters`."""
        with torch.no_grad():
            for mine, theirs in zip(self.parameters(), tensors, strict=True):
                mine.copy_(theirs)

    def merge_into(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A base state dict under Hugging Face's names -> the same with the adapter added, dtypes kept."""
        exact = self.merged_matrices(state)
        return dict(state) | {name: matrix.to(state[name].dtype) for name, matrix in exact.items()}

    def merged_matrices(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of a base state dict the matrices that the adapter changes, with it added, fp32. Raises AdapterMismatch."""
        merged = {}
        with torch.no_grad():
            for name, (a, b, scale) in self.named().items():
                weight = state.get(f"{name}.weight")
                if weight is None or weight.shape != (len(b), a.shape[1]):
                    raise AdapterMismatch(
                        f"the base has no {name}.weight of {len(b)} x {a.shape[1]} to merge it into"
                    )
                merged[f"{name}.weight"] = weight + (scale * b @ a).to(weight.device)
        return merged

    def digest(self) -> str:
        """The sha256 of its parameters."""
        found = hashlib.sha256(f"{self.rank} {self.alpha} {self.layers}".encode())
        for tensor in self.parameters():
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def state(self) -> dict[str, Tensor]:
        """The tensors under PEFT's names."""
        pairs = {f"base_model.model.{name}": (a, b) for name, (a, b, _) in self.named().items()}
        a_side = {f"{name}.lora_A.weight": a.detach().cpu().contiguous().clone() for name, (a, _) in pairs.items()}
        b_side = {f"{name}.lora_B.weight": b.detach().cpu().contiguous().clone() for name, (_, b) in pairs.items()}
        return a_side | b_side

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Overwrite the parameters in place from tensors under PEFT's names."""
        self._load(state, self.named())

    def _load(self, state: Mapping[str, Tensor], named: Mapping[str, LoraMatrices]) -> None:
        """Into the matrices of `named`."""
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
        about = {"base_model_name_or_path": base, "inference_mode": True, **self.peft_config()}
        (directory / CONFIG_FILE).write_text(json.dumps(about, indent=2))

    @classmethod
    def load(cls, directory: Path, transformer: "Decoder") -> "Adapter":
        adapter, layers = cls._made_as(directory, transformer, seed=0)
        top = list(range(transformer.trunk_layers, transformer.config.layers))
        if layers != top:
            raise AdapterMismatch(f"it changes layers {layers}, the model's top is {top}")
        adapter.load_state(load_file(directory / WEIGHTS_FILE))
        return adapter

    @classmethod
    def load_onto(cls, directory: Path, transformer: "Decoder", *, seed: int) -> "Adapter":
        """A saved adapter over the whole top: layers that it does not change get matrices that change nothing yet.

        Raises AdapterMismatch where it changes a layer of the trunk.
        """
        adapter, layers = cls._made_as(directory, transformer, seed=seed)
        if min(layers) < transformer.trunk_layers:
            reason = f"it changes layers from {min(layers)} on, the model's top begins at {transformer.trunk_layers}"
            raise AdapterMismatch(f"{reason}; adapted_layers must be at least {len(layers)}")
        named = {name: one for name, one in adapter.named().items() if layer_of(name) in layers}
        adapter._load(load_file(directory / WEIGHTS_FILE), named)
        return adapter

    @classmethod
    def _made_as(cls, directory: Path, transformer: "Decoder", *, seed: int) -> tuple["Adapter", list[int]]:
        """A fresh adapter with the rank and alpha of a saved one, and the layers that the saved one changes."""
        config = json.loads((directory / CONFIG_FILE).read_text())
        fresh = cls.create(transformer, rank=config["r"], alpha=config["lora_alpha"], seed=seed)
        return fresh, list(config["layers_to_transform"])

    def peft_config(self) -> dict[str, Any]:
        """PEFT's LoraConfig of such an adapter."""
        names = list(self.named())
        return {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": False,
            "target_modules": sorted({name.rpartition(".")[2] for name in names}),
            "layers_to_transform": self.layers,
            "layers_pattern": _pattern_of(names[0]),
        }


def layer_of(module: str) -> int:
    """The number of the layer in a module's name: 3 of "model.layers.3.mlp.up_proj"."""
    return next(int(part) for part in module.split(".") if part.isdigit())


def _pattern_of(module: str) -> str:
    """What PEFT looks for before the number: "layers" of "model.layers.3.mlp.up_proj"."""
    parts = module.split(".")
    return parts[[part.isdigit() for part in parts].index(True) - 1]
