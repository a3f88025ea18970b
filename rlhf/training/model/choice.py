"""Chooses the backend of a base by what the model and the machine are, and loads it.

Our Llama where the model is one that it computes and the device is a CPU, for which it was made; transformers for
every other family and device, and where the base is divided among processes. A setting forces either.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from base import own_llama
from rlhf.training import processes
from rlhf.training.hyperparameters import build, require
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.transformer import Transformer

AUTO, LLAMA, LIBRARY = BACKENDS = ("auto", "llama", "transformers")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32, "fp64": torch.float64}
BITS = (16, 8, 4)


@dataclass(frozen=True)
class Placement:
    """How and where a run's models are computed: keys of its config.json."""

    backend: str = AUTO
    device: str = "cpu"
    """As torch spells it, or "auto": an accelerator where there is one."""
    dtype: str = "bf16"
    bits: int = 16
    """8 or 4: the base's matrices quantised by bitsandbytes, if that is installed."""
    checkpointing: bool = False
    """Gradient checkpointing, under transformers."""

    def validate(self) -> None:
        """Raise BadHyperparameter."""
        require(self.backend in BACKENDS, "backend", self.backend, f"must be one of {', '.join(BACKENDS)}")
        require(self.dtype in DTYPES, "dtype", self.dtype, f"must be one of {', '.join(DTYPES)}")
        require(self.bits in BITS, "bits", self.bits, "must be 16, 8 or 4")
        whole = self.bits == 16 or self.backend != LLAMA
        require(whole, "bits", self.bits, "our Llama has whole weights only")
        one_each = ":" not in self.real_device or processes.expected() == 1
        why = "several processes take a card each; leave the number out, and choose by gpu_ids in accelerate's file"
        require(one_each, "device", self.device, why)

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> "Placement":
        """From a run's config.json, in which other keys stand, too. Raises BadHyperparameter."""
        names = {field.name for field in fields(cls)}
        return build(cls, {name: value for name, value in config.items() if name in names and value is not None})

    @property
    def real_device(self) -> str:
        if processes.stays_on_cpu():
            return "cpu"
        if self.device != "auto":
            return self.device
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return "cpu" if found is None else found.type


def choose(directory: Path, placement: Placement) -> str:
    """The backend of a policy directory: llama or transformers. Raises BadHyperparameter."""
    if processes.shards_base():
        require(placement.backend != LLAMA, "backend", LLAMA, "our Llama is not divided by FSDP; take transformers")
        require(placement.bits == 16, "bits", placement.bits, "quantised weights are not divided by FSDP")
        return LIBRARY
    if placement.backend != AUTO:
        return placement.backend
    fits = placement.real_device == "cpu" and placement.bits == 16 and _is_ours(directory)
    return LLAMA if fits else LIBRARY


def load(directory: Path, *, adapted_layers: int, placement: Placement | None = None) -> Decoder:
    """The base in a policy directory. Raises UnsupportedArchitecture."""
    where = placement or Placement()
    dtype, device = DTYPES[where.dtype], where.real_device
    if choose(directory, where) == LLAMA:
        return Transformer.load(directory, dtype=dtype, adapted_layers=adapted_layers, device=device)
    from rlhf.training.model.library.decoder import LibraryDecoder  # transformers takes a second to import
    from rlhf.training.model.library.loading import Loading

    loading = Loading(dtype, device, where.bits, where.checkpointing)
    return LibraryDecoder.load(directory, adapted_layers=adapted_layers, loading=loading)


def facts(decoder: Decoder) -> dict[str, str]:
    """What computes a base, for a run's result."""
    dtype = str(decoder.dtype).removeprefix("torch.")
    return {"backend": decoder.backend, "device": str(decoder.device), "dtype": dtype}


def mark(decoder: Decoder) -> str | None:
    """By which a checkpoint tells whose adapter it holds: they are laid out otherwise under each backend. None: our
    Llama's, which checkpoints did not name while there was no other."""
    return None if decoder.backend == LLAMA else decoder.backend


def layers_of(directory: Path) -> int:
    """How many a policy directory's model has."""
    raw: dict[str, Any] = json.loads((directory / "config.json").read_text())
    if "num_hidden_layers" in raw:
        return int(raw["num_hidden_layers"])
    from transformers import AutoConfig  # which knows other spellings

    config = AutoConfig.from_pretrained(str(directory), trust_remote_code=False, local_files_only=True)
    return int(config.get_text_config(decoder=True).num_hidden_layers)


def _is_ours(directory: Path) -> bool:
    """Whether our Llama computes it."""
    return own_llama.obstacle(json.loads((directory / "config.json").read_text())) is None
