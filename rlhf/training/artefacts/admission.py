"""Decides from its files whether a model can be trained and served here; what cannot is refused, with what would do.

One rule for every family: a decoder that the installed transformers builds from config.json alone, of which a chat
template is known, whose layers keep nothing but keys and values, and whose safetensors hold just what it expects.
"""

import inspect
import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.cache_utils import get_layer_types_and_kwargs
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from rlhf.training.artefacts.sources import BadSource
from rlhf.training.model.library import parts
from rlhf.training.model.rope import UnsupportedArchitecture

KEPT_BY_LAYERS = frozenset({"full_attention", "sliding_attention"})
"""Kinds of layers whose memory of a text is its keys and values, in rows that can join and leave a batch."""
NEEDED = ("attention_mask", "position_ids", "inputs_embeds", "logits_to_keep")
"""What the forward pass has to take: rows of different lengths, and gradients that begin at the embeddings."""
MOST_NAMED = 3


def read_config(source: str, folder: Path) -> PreTrainedConfig:
    """The configuration of a model that can be taken. Raises BadSource; needs no weights."""
    plain = _plain(source, folder / "config.json")
    _refuse_code(source, plain, folder)
    kind = plain.get("model_type")
    if kind not in CONFIG_MAPPING:
        raise BadSource(
            source,
            f"the installed transformers does not know model_type {kind!r}; a newer transformers may, and a model"
            " of another family does",
        )
    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # configurations check themselves with errors of every kind
        raise BadSource(source, f"transformers cannot read its config.json: {error}") from error
    _refuse_other_kinds(source, str(kind), config)
    _refuse_other_memory(source, str(kind), config)
    _refuse_other_parts(source, str(kind), config)
    return config


def _plain(source: str, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSource(source, f"its {path.name} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise BadSource(source, f"its {path.name} is no JSON object")
    return found


def _refuse_code(source: str, config: dict[str, Any], folder: Path) -> None:
    settings = folder / "tokenizer_config.json"
    asking = {"config.json": config, settings.name: _plain(source, settings) if settings.exists() else {}}
    for name, content in asking.items():
        if "auto_map" in content:
            raise BadSource(
                source,
                f"its {name} asks for code of its own (auto_map), which is never run; a copy in the classes of"
                " transformers does",
            )
    if config.get("quantization_config"):
        raise BadSource(source, "its weights are quantised (quantization_config); the original, in bf16, does")


def _refuse_other_kinds(source: str, kind: str, config: PreTrainedConfig) -> None:
    if config.is_encoder_decoder:
        raise BadSource(source, f"{kind} is an encoder with a decoder; a model with a decoder alone does")
    parts = sorted(set(config.sub_configs) - {"text_config"})
    if parts:
        raise BadSource(
            source,
            f"{kind} reads more than text ({', '.join(parts)}); the family's model for text alone does",
        )
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise BadSource(source, f"{kind} reads text in both directions and writes none; a causal language model does")
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise BadSource(source, f"{kind} is no language model that writes; a causal language model does")


def _refuse_other_memory(source: str, kind: str, config: PreTrainedConfig) -> None:
    if config.get_text_config(decoder=True) is not config:
        raise BadSource(source, f"{kind} is a language model within another; the text model by itself does")
    try:
        found, _ = get_layer_types_and_kwargs(config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadSource(source, f"it cannot be told what the layers of {kind} keep of a text: {error}") from error
    others = sorted(set(found) - KEPT_BY_LAYERS)
    if others:
        raise BadSource(
            source,
            f"layers of {kind} keep more than keys and values ({', '.join(others)}), so that replies cannot share a"
            " batch; a model of full or sliding attention does",
        )


def _refuse_other_parts(source: str, kind: str, config: PreTrainedConfig) -> None:
    """Looks at the model without a single weight."""
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception as error:  # a model that cannot be built fails as it likes
        raise BadSource(source, f"transformers cannot build it from its config.json: {error}") from error
    missing = [name for name in NEEDED if name not in inspect.signature(model.forward).parameters]
    if missing:
        raise BadSource(
            source,
            f"the forward pass of {kind} does not take {', '.join(missing)}, which a batch of replies of different"
            " lengths and training need; a model with rotary or learnt positions does",
        )
    try:
        _, layers = parts.layers_of(model.get_decoder(), config.num_hidden_layers)
        parts.projections(model, list(layers))
        parts.head_of(model)
    except (UnsupportedArchitecture, AttributeError, TypeError) as error:
        raise BadSource(
            source, f"training could not adapt it ({error}); a model with layers of linear projections does"
        ) from error


def check_weights(source: str, folder: Path) -> int:
    """The parameters of a folder whose safetensors hold just the tensors that its configuration asks for, in their
    shapes. No tensor is read into memory. Raises BadSource."""
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            str(folder),
            device_map="meta",
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise BadSource(source, f"its weights do not fit its config.json: {error}") from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        names = sorted(str(name) for name in found[what])
        if names:
            more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            some = f"{what.removesuffix('_keys')} {', '.join(names[:MOST_NAMED])}{more}"
            raise BadSource(source, f"its weights do not fit its config.json: {some}; a complete copy does")
    return sum(parameter.numel() for parameter in model.parameters())
