"""The families whose models llama.cpp's file can hold as we write it, and how each is written there.

Each is held against llama.cpp's own probabilities by a test. Any other is served by transformers.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gguf

Config = Mapping[str, Any]
Scale = tuple[str, Callable[[gguf.GGUFWriter, float], None]]


@dataclass
class Unsupported(Exception):
    """The folder has something that the exporter cannot write as GGUF."""

    what: str
    value: str

    def __str__(self) -> str:
        return f"cannot export to GGUF: {self.what} is {self.value}"


@dataclass(frozen=True)
class Family:
    """What distinguishes a family in the file."""

    architecture: gguf.MODEL_ARCH
    interleaves: bool = False
    """Whether llama.cpp rotates neighbouring numbers of a head, where Hugging Face rotates its halves."""
    rope_types: frozenset[str] = frozenset({"default"})
    biased: frozenset[str] = frozenset()
    """Projections with a bias."""
    scales: tuple[Scale, ...] = ()
    """Factors in config.json, each with how the file names it."""

    @property
    def name(self) -> str:
        return str(gguf.MODEL_ARCH_NAMES[self.architecture])

    def tensor_name(self, name: str) -> str:
        """llama.cpp's name of a Hugging Face tensor. Raises Unsupported."""
        parts = name.rsplit(".", 2)
        found = _names(self.architecture).get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None or (parts[-1] == "bias" and parts[-2] not in self.biased):
            raise Unsupported("the tensor", name)
        return str(found)


LLAMA = Family(gguf.MODEL_ARCH.LLAMA, interleaves=True, rope_types=frozenset({"default", "linear", "llama3"}))
FAMILIES: Mapping[str, Family] = {
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": Family(gguf.MODEL_ARCH.QWEN2, biased=frozenset({"q_proj", "k_proj", "v_proj"})),
    "qwen3": Family(gguf.MODEL_ARCH.QWEN3),
    "granite": Family(
        gguf.MODEL_ARCH.GRANITE,
        interleaves=True,
        scales=(
            ("logits_scaling", gguf.GGUFWriter.add_logit_scale),
            ("attention_multiplier", gguf.GGUFWriter.add_attention_scale),
            ("embedding_multiplier", gguf.GGUFWriter.add_embedding_scale),
            ("residual_multiplier", gguf.GGUFWriter.add_residual_scale),
        ),
    ),
}
"""By config.json's model_type."""
MOST_LAYERS = 512


def family_of(config: Config) -> Family:
    """Raises Unsupported."""
    kind = str(config.get("model_type"))
    if kind not in FAMILIES:
        raise Unsupported("the architecture", kind)
    return FAMILIES[kind]


@functools.cache
def _names(architecture: gguf.MODEL_ARCH) -> gguf.TensorNameMap:
    return gguf.get_tensor_name_map(architecture, MOST_LAYERS)
