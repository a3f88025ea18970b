"""Counts a policy's parameters, and those that each training scope trains, from its config.json alone.

A test holds these sums against the tensors that rlhf.training.fine_tuning.scopes trains.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chat import policies
from chat.errors import BadPolicy
from chat.models import Policy
from fine_tuning.models import FineTune

Scope = FineTune.Scope
BLOCKS_SHARE = 6
"""The scope `blocks` trains one in so many blocks, from the top."""
LORA_RANK = 16
PPO_LAYERS = 10
"""The top layers that the reward model uses, whose adapters PPO trains."""


def counts(policy: Policy, method: str = FineTune.Method.SUPERVISED) -> dict[str, int]:
    """{scope: parameters trained}; `full` is all of them. Raises BadPolicy."""
    return dict(_counts(policies.words(policy), method))


@functools.lru_cache(maxsize=16)
def _counts(directory: Path, method: str) -> tuple[tuple[str, int], ...]:
    """A policy directory never changes."""
    try:
        return tuple(count_parameters(json.loads((directory / "config.json").read_text()), method).items())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadPolicy(f"{directory}: its config.json states no sizes: {error}") from error


def count_parameters(config: Mapping[str, Any], method: str = FineTune.Method.SUPERVISED) -> dict[str, int]:
    """{scope: parameters trained} of a Llama configuration."""
    width, layers = config["hidden_size"], config["num_hidden_layers"]
    adapted = min(PPO_LAYERS, layers) if method == FineTune.Method.REINFORCEMENT else layers
    matrices = _matrices_of(config)
    block = sum(inputs * outputs for inputs, outputs in matrices) + 2 * width
    table = config["vocab_size"] * width
    return {
        Scope.HEAD: table,  # tied to the embeddings or not: training makes the head a matrix of its own
        Scope.BLOCKS: max(1, layers // BLOCKS_SHARE) * block + width,
        Scope.LORA: adapted * sum(LORA_RANK * (inputs + outputs) for inputs, outputs in matrices),
        Scope.FULL: layers * block + width + table * (1 if config.get("tie_word_embeddings") else 2),
    }


def _matrices_of(config: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(inputs, outputs) of each matrix of a block."""
    width, mlp, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    size = config.get("head_dim") or width // heads
    key_value, queries = (config.get("num_key_value_heads") or heads) * size, heads * size
    attention = [(width, queries), (width, key_value), (width, key_value), (queries, width)]
    return [*attention, (width, mlp), (width, mlp), (mlp, width)]
