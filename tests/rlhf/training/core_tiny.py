"""A random Llama of a few thousand weights, as a folder for transformers and for ours."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from rlhf.training.model.transformer import Transformer

EOS = 2


def write_llama(folder: Path, *, vocabulary: int = 40, layers: int = 3, tied: bool = True, seed: int = 0) -> Path:
    """fp32, hidden 24, 3 query heads over 1 key/value head, MLP 32."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "num_hidden_layers": layers,
        "head_dim": 8,
        "vocab_size": vocabulary,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 100.0, "rope_type": "default"},
        "tie_word_embeddings": tied,
        "bos_token_id": 1,
        "eos_token_id": EOS,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(_weights(vocabulary, layers, tied, seed), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def tiny_llama(
    folder: Path, *, vocabulary: int = 40, adapted: int = 2, dtype: torch.dtype = torch.float32
) -> Transformer:
    return Transformer.load(write_llama(folder, vocabulary=vocabulary), dtype=dtype, adapted_layers=adapted)


def disturb(adapter: object, seed: int = 1, spread: float = 0.2) -> None:
    """Give an adapter weights that matter: fresh ones change nothing."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in adapter.parameters():  # type: ignore[attr-defined]
            tensor.copy_(torch.randn(tensor.shape, generator=random) * spread)


def _weights(vocabulary: int, layers: int, tied: bool, seed: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)

    def matrix(*shape: int, spread: float = 0.3) -> torch.Tensor:
        return torch.randn(*shape, generator=random) * spread

    weights = {"model.embed_tokens.weight": matrix(vocabulary, 24, spread=0.5), "model.norm.weight": 1 + matrix(24)}
    if not tied:
        weights["lm_head.weight"] = matrix(vocabulary, 24)
    for index in range(layers):
        at = f"model.layers.{index}."
        shapes = {"q": (24, 24), "k": (8, 24), "v": (8, 24), "o": (24, 24)}
        weights |= {f"{at}self_attn.{name}_proj.weight": matrix(*shape) for name, shape in shapes.items()}
        shapes = {"gate": (32, 24), "up": (32, 24), "down": (24, 32)}
        weights |= {f"{at}mlp.{name}_proj.weight": matrix(*shape) for name, shape in shapes.items()}
        weights |= {f"{at}{name}_layernorm.weight": 1 + matrix(24) for name in ("input", "post_attention")}
    return weights
