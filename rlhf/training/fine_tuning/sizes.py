"""Counts the weights that a scope trains, from a policy's config.json alone."""

from collections.abc import Mapping
from typing import Any

BLOCKS_SHARE = 6
"""By default one of so many blocks is trained, from the top."""


def learning_layers(scope: str, layers: int, asked: int | None) -> int:
    """Blocks, counted from the top, in which weights are trained."""
    usual = {"head": 0, "blocks": max(1, layers // BLOCKS_SHARE), "lora": layers, "full": layers}[scope]
    return min(asked, layers) if asked is not None and scope in ("blocks", "lora") else usual


def trained_parameters(
    config: Mapping[str, Any], scope: str, *, rank: int = 16, layers: int | None = None
) -> tuple[int, int]:
    """(all weights of the model, trained weights), from a Llama's config.json."""
    width, mlp, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or width // heads
    key_value = (config.get("num_key_value_heads") or heads) * size
    queries = heads * size
    matrices = [(width, queries), (width, key_value), (width, key_value), (queries, width)]
    matrices += [(width, mlp), (width, mlp), (mlp, width)]
    block = sum(inputs * outputs for inputs, outputs in matrices) + 2 * width
    table = vocabulary * width
    total = config["num_hidden_layers"] * block + width + table * (1 if config.get("tie_word_embeddings") else 2)
    learning = learning_layers(scope, config["num_hidden_layers"], layers)
    trained = {
        "head": table,
        "blocks": learning * block + width,
        "lora": learning * sum(rank * (inputs + outputs) for inputs, outputs in matrices),
        "full": total,
    }[scope]
    return total, trained
