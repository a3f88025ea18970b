"""The sizes of GPT-1 to GPT-3, BERT and a tiny GPT: their parameters by formula, and built without memory by torch.

`python -m rlhf.training.lecture.presets NAME` prints the count of the second way.
"""

import sys
from dataclasses import dataclass
from typing import Any

TINY, GPT1, GPT2, BERT = "tiny", "gpt1", "gpt2", "bert"
META = "meta"


@dataclass(frozen=True)
class Preset:
    """A Transformer as its paper describes it."""

    family: str
    """`gpt1` normalises after each sublayer and has no norm at the end; `gpt2` has one, as GPT-3 does."""
    layers: int
    dimension: int
    heads: int
    vocabulary: int
    positions: int

    @property
    def block_parameters(self) -> int:
        """Attention 4 d^2 + 4 d, feed-forward 8 d^2 + 5 d, two norms of 2 d."""
        return 12 * self.dimension**2 + 13 * self.dimension

    @property
    def parameters(self) -> int:
        """Of BERT with its segment embeddings, their norm and its pooling layer."""
        d = self.dimension
        embedded = (self.vocabulary + self.positions) * d
        beside = {"gpt1": 0, "gpt2": 2 * d, "bert": 2 * d + 2 * d + d * d + d}[self.family]
        return embedded + self.layers * self.block_parameters + beside


PRESETS = {
    TINY: Preset(GPT2, 3, 192, 6, 6_800, 128),
    GPT1: Preset(GPT1, 12, 768, 12, 40_478, 512),
    GPT2: Preset(GPT2, 48, 1_600, 25, 50_257, 1_024),
    "gpt3": Preset(GPT2, 96, 12_288, 96, 50_257, 2_048),
    "gpt3-125m": Preset(GPT2, 12, 768, 12, 50_257, 2_048),
    "gpt3-350m": Preset(GPT2, 24, 1_024, 16, 50_257, 2_048),
    "gpt3-1.3b": Preset(GPT2, 24, 2_048, 16, 50_257, 2_048),
    "gpt3-6.7b": Preset(GPT2, 32, 4_096, 32, 50_257, 2_048),
    "40 layers of 4096": Preset(GPT2, 40, 4_096, 32, 50_257, 2_048),
    "gpt3-13b": Preset(GPT2, 40, 5_120, 40, 50_257, 2_048),
    "bert-base": Preset(BERT, 12, 768, 12, 30_522, 512),
}
"""Radford et al. 2018, 2019; Brown et al. 2020, table 2.1; Devlin et al. 2019. GPT-2 has 25 heads, for 1600 is no
multiple of 48. `40 layers of 4096` is what the lecture calls 13B. Of the real one Brown et al. print a dimension of
5,140, which their 40 heads of 128 can't have."""


def counted(preset: Preset) -> int:
    """Parameters of transformers' own model, made on the meta device, where no weight takes memory."""
    import torch

    with torch.device(META):
        return sum(weights.numel() for weights in _model(preset).parameters())


def _model(preset: Preset) -> Any:
    import transformers

    sizes = {"n_layer": preset.layers, "n_embd": preset.dimension, "n_head": preset.heads}
    sizes |= {"vocab_size": preset.vocabulary, "n_positions": preset.positions}
    if preset.family == GPT1:
        return transformers.OpenAIGPTModel(transformers.OpenAIGPTConfig(**sizes))
    if preset.family == GPT2:
        return transformers.GPT2Model(transformers.GPT2Config(**sizes))
    config = transformers.BertConfig(
        vocab_size=preset.vocabulary,
        hidden_size=preset.dimension,
        num_hidden_layers=preset.layers,
        num_attention_heads=preset.heads,
        intermediate_size=4 * preset.dimension,
        max_position_embeddings=preset.positions,
    )
    return transformers.BertModel(config)


def main() -> None:
    sys.stdout.write(f"{counted(PRESETS[sys.argv[1]])}\n")


if __name__ == "__main__":
    main()
