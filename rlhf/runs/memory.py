"""How much memory the stages of a cycle need, and whether this machine has it, before the first of them begins.

An estimate from the sizes of the policy and of the training, on the safe side: what is not counted is in MARGIN. It
is held against what stages were measured to take, of a tiny model and of the default one.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from chat.errors import BadPolicy

PROCESS_MB = 600
"""Python, torch and transformers with no model: 425 to 570 were measured with one of 0.2 million parameters."""
MARGIN = 1.15
ACTIVATIONS = 14
"""Tensors as wide as the hidden states that a layer keeps for the gradient of its adapter, beside its MLP's."""
OF_MLP = 4
USUAL_PROMPT = 128
"""Tokens. A rollout of prompts as long as PPO's limit needs more than the estimate says."""
OPTIMISER = 16
"""Bytes a number of an adapter: fp32 weight, gradient and Adam's two means."""
NUMBER_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp32": 4.0}
COPIES = 2.0
"""Of the weights at most at a time: those in use, and the file while it is read or the merged ones while they are
written."""


class MemoryShortage(NamedTuple):
    needed_mb: int
    free_mb: int


@dataclass(frozen=True)
class ModelSizes:
    """Of a policy directory; what its config.json does not tell is 0 and counts nothing."""

    model_type: str
    parameters: int
    hidden: int
    inner: int
    layers: int
    vocabulary: int
    key_value: int
    """Numbers of a token's keys in one layer."""

    @classmethod
    def read(cls, directory: Path) -> "ModelSizes":
        """Raises BadPolicy."""
        try:
            config = json.loads((directory / "config.json").read_text(encoding="utf-8"))

            def of(name: str, otherwise: int = 0) -> int:
                return int(config.get(name) or otherwise)

            heads, hidden = of("num_attention_heads", 1), of("hidden_size")
            return cls(
                model_type=str(config.get("model_type")),
                parameters=sum(file.stat().st_size for file in directory.glob("*.safetensors")) // 2,
                hidden=hidden,
                inner=of("intermediate_size", 4 * hidden),
                layers=of("num_hidden_layers"),
                vocabulary=of("vocab_size"),
                key_value=of("num_key_value_heads", heads) * of("head_dim", hidden // heads),
            )
        except (OSError, TypeError, ValueError, AttributeError) as error:
            raise BadPolicy(f"{directory}: its sizes cannot be read: {error}") from error


@dataclass(frozen=True)
class Work:
    """What a stage holds beside the weights; the defaults are those of PPO, which holds most, on usual prompts."""

    dtype: str = "bf16"
    rank: int = 16
    adapted_layers: int = 10
    adapters: int = 3
    """In memory at once: the policy's, the reward model's, and the judge's that watches."""
    rows: int = 64
    """Completions of a rollout."""
    sample_rows: int = 64
    """Of them sampled together, at most."""
    minibatch_rows: int = 16
    prompt_tokens: int = USUAL_PROMPT
    completion_tokens: int = 48
    checkpointing: bool = False
    """Layers keep their inputs alone for the gradient, and run again one by one."""

    @classmethod
    def of(cls, hyperparameters: Mapping[str, Any], placement: Mapping[str, Any], completion_tokens: int) -> "Work":
        """As a cycle's `hyperparameters` of its stage `policy` say; `completion_tokens` are the site's. Only under
        the backend transformers layers are run again; which one `auto` takes, the caller knows."""
        asked_tokens = hyperparameters.get("max_tokens") or hyperparameters.get("max_completion_length")
        given = {
            "rank": hyperparameters.get("rank"),
            "minibatch_rows": hyperparameters.get("minibatch_rows"),
            "sample_rows": hyperparameters.get("sample_rows"),
            "prompt_tokens": min(USUAL_PROMPT, int(hyperparameters.get("max_prompt_tokens") or USUAL_PROMPT)),
            "completion_tokens": asked_tokens or completion_tokens,
        }
        asked, copies = (hyperparameters.get(name) for name in ("prompts_per_iteration", "completions_per_prompt"))
        if asked is not None or copies is not None:
            given["rows"] = int(asked or 16) * int(copies or 4)
        again = placement["checkpointing"] and placement["backend"] == "transformers"
        whole = {name: int(value) for name, value in given.items() if value is not None}
        return cls(dtype=placement["dtype"], checkpointing=again, **whole)

    def shared_by(self, processes: int) -> "Work":
        """What one of them does."""
        rows, minibatch_rows = (math.ceil(number / processes) for number in (self.rows, self.minibatch_rows))
        return replace(self, rows=rows, minibatch_rows=minibatch_rows)


@dataclass(frozen=True)
class MemoryEstimate:
    """In MB, by what it is for."""

    process: float
    weights: float
    adapters: float
    rollout: float
    gradient: float

    @property
    def mb(self) -> int:
        return round(self.process + MARGIN * (self.weights + self.adapters + self.rollout + self.gradient))


def estimate(sizes: ModelSizes, work: Work) -> MemoryEstimate:
    """The memory of the stage that needs most. Pure."""
    number = NUMBER_BYTES[work.dtype]
    top = min(work.adapted_layers, sizes.layers)
    tokens = work.prompt_tokens + work.completion_tokens
    adapter = work.rank * top * (8 * sizes.hidden + 3 * (sizes.hidden + sizes.inner))
    together = min(work.rows, work.sample_rows)
    cache = together * tokens * sizes.layers * 2 * sizes.key_value * number
    states = work.rows * tokens * sizes.hidden * number
    logits = 2 * max(together, 1) * sizes.vocabulary * 4
    kept = work.minibatch_rows * tokens * (ACTIVATIONS * sizes.hidden + OF_MLP * sizes.inner) * 4
    inputs = work.minibatch_rows * tokens * sizes.hidden * 4
    return MemoryEstimate(
        process=PROCESS_MB,
        weights=COPIES * sizes.parameters * number / 1e6,
        adapters=work.adapters * adapter * OPTIMISER / 1e6,
        rollout=(cache + states + logits) / 1e6,
        gradient=(kept + top * inputs if work.checkpointing else top * kept) / 1e6,
    )


def free_mb() -> int:
    return int(psutil.virtual_memory().available // 1_000_000)


def find_shortage(directory: Path, work: Work, processes: int = 1) -> MemoryShortage | None:
    """Whether training the policy needs more than is free; None if it fits. Each of the `processes` holds the
    weights. Raises BadPolicy."""
    each = estimate(ModelSizes.read(directory), work.shared_by(processes))
    needed, free = processes * each.mb, free_mb()
    return MemoryShortage(needed, free) if needed > free else None
