"""Sizes of models as their configurations tell them: the default one, and one of seven billion parameters."""

from rlhf.runs.memory import ModelSizes

SMOLLM2 = ModelSizes("llama", 134_515_008, hidden=576, inner=1536, layers=30, vocabulary=49_152, key_value=192)
SEVEN_BILLION = ModelSizes(
    "llama", 6_738_415_616, hidden=4096, inner=11008, layers=32, vocabulary=32_000, key_value=4096
)
