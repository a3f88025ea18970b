"""Reads a policy directory as a frozen model of transformers, in the dtype and on the device that were asked for."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging


@dataclass
class NoQuantisation(Exception):
    """Weights of few bits were asked for, and the library for them is not installed."""

    bits: int

    def __str__(self) -> str:
        return f"weights of {self.bits} bits need the package bitsandbytes: pip install bitsandbytes"


@dataclass(frozen=True)
class Loading:
    """How a base is held in memory."""

    dtype: torch.dtype = torch.bfloat16
    device: str = "cpu"
    bits: int = 16
    """8 or 4: the layers' matrices quantised by bitsandbytes."""
    checkpointing: bool = False
    """Gradient checkpointing: less memory, a third more time."""


def load_model(directory: Path, loading: Loading, *, own: bool = True) -> Any:
    """Safetensors alone, no code of the directory's, nothing from the network; not `own`: left on the CPU where it
    can be. Raises NoQuantisation."""
    logging.disable_progress_bar()  # the log of a run is read as text
    settings: dict[str, Any] = {"dtype": loading.dtype}
    if loading.bits != 16:
        settings |= {"quantization_config": _quantisation(loading), "device_map": {"": loading.device}}
    model = AutoModelForCausalLM.from_pretrained(
        str(directory), trust_remote_code=False, local_files_only=True, use_safetensors=True, **settings
    )
    model.eval().requires_grad_(False)
    return model.to(loading.device) if own and loading.bits == 16 else model


def _quantisation(loading: Loading) -> Any:
    if find_spec("bitsandbytes") is None:
        raise NoQuantisation(loading.bits)
    from transformers import BitsAndBytesConfig

    if loading.bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=loading.dtype,
        bnb_4bit_use_double_quant=True,
    )
