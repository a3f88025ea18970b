"""Inverse frequencies of rotary position embeddings, with the kinds of scaling that Llama models use."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class UnsupportedArchitecture(Exception):
    """The model directory asks for something that a backend does not compute."""

    def __init__(self, field: str, value: object, reason: str = "our own Llama does not compute that") -> None:
        super().__init__(f"config.json has {field}={value!r}; {reason}")
        self.field = field
        self.value = value


def inverse_frequencies(rope: Mapping[str, Any], head_size: int, max_positions: int) -> Tensor:
    """[head_size / 2] radians a position. Kinds: default (arXiv:2104.09864), linear, llama3 (Llama 3.1's code)."""
    kind = rope.get("rope_type", rope.get("type", "default"))
    base: Tensor = 1.0 / float(rope["rope_theta"]) ** (torch.arange(0, head_size, 2).double() / head_size)
    if kind == "default":
        return base
    if kind == "linear":
        return base / float(rope["factor"])
    if kind == "llama3":
        return _llama3(base, rope, max_positions)
    raise UnsupportedArchitecture("rope_type", kind)


def _llama3(base: Tensor, rope: Mapping[str, Any], max_positions: int) -> Tensor:
    """Long wavelengths are stretched by the factor, short ones kept, those between are blended linearly."""
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    original = float(rope.get("original_max_position_embeddings", max_positions))
    wavelength = 2 * math.pi / base
    blend = ((original / wavelength - low) / (high - low)).clamp(0, 1)
    return blend * base + (1 - blend) * base / float(rope["factor"])
