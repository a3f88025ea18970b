"""Random models of a few thousand weights of many families, as transformers writes them."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from rlhf.training.artefacts import checkpoints
from tests.tiny import write_tokenizer

EOS = 2
VOCABULARY = 384
SMALL: dict[str, Any] = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": EOS,
}
THETA = {"rope_theta": 100.0, "rope_type": "default"}
LLAMA3 = {
    "rope_theta": 100.0,
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_theta": 100.0, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
SLIDING = ["sliding_attention", "full_attention", "sliding_attention"]
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"rope_parameters": THETA, "tie_word_embeddings": True},
    "llama-untied": {"rope_parameters": THETA, "tie_word_embeddings": False},
    "llama-biased": {"rope_parameters": THETA, "attention_bias": True, "mlp_bias": True},
    "llama-llama3": {"rope_parameters": LLAMA3},
    "llama-yarn": {"rope_parameters": YARN},
    "mistral": {"sliding_window": 6},
    "qwen2": {},
    "qwen3": {},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "decoder_sparse_step": 1},
    "gemma2": {"sliding_window": 6, "layer_types": SLIDING, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 6, "layer_types": SLIDING, "query_pre_attn_scalar": 8},
    "phi3": {"sliding_window": None},
    "olmo2": {},
    "smollm3": {"no_rope_layers": [1, 0, 1]},
    "granite": {"logits_scaling": 3.0, "embedding_multiplier": 5.0, "residual_multiplier": 0.5},
    "gpt_neox": {"hidden_act": "gelu"},
    "cohere": {"logit_scale": 0.25},
    "phi": {},  # a head with a bias
}
"""By a name that begins with the model type: what differs from SMALL."""
MIXED = ("gemma2", "gemma3_text")


def write_family(folder: Path, family: str, *, seed: int = 0, spread: float = 0.3, **changes: Any) -> Path:
    """fp32 weights large enough that families differ in their logits and greedy choices are no near-ties."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family.split("-")[0], **{**SMALL, **FAMILIES.get(family, {}), **changes})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            middle = 1.0 if "norm" in name and name.endswith("weight") and "gemma" not in family else 0.0
            parameter.copy_(middle + torch.randn(parameter.shape) * spread)
    model.save_pretrained(folder)
    return folder


def make_family_policy(directory: Path, family: str, *, seed: int = 0, layers: int = 4) -> Path:
    """A policy directory of the family: bf16 weights, the tiny tokenizer and template, a manifest, and no GGUF."""

    def write(draft: Path) -> None:
        write_tokenizer(draft, VOCABULARY)
        changes = {"num_hidden_layers": layers} | ({"layer_types": SLIDING + SLIDING[:1]} if family in MIXED else {})
        write_family(draft, family, seed=seed, spread=0.15, vocab_size=VOCABULARY, **changes)
        path = draft / "model.safetensors"
        weights = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})

    return checkpoints.publish(write, Path(directory))
