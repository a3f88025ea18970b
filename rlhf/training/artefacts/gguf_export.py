"""Exports a Hugging Face folder of a family in `gguf_families` as one GGUF file for the embedded engine."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors import safe_open

from rlhf.training.artefacts.gguf_families import Family, Unsupported, family_of
from rlhf.training.model.rope import inverse_frequencies

KINDS = {
    "q8_0": (gguf.LlamaFileType.MOSTLY_Q8_0, gguf.GGMLQuantizationType.Q8_0),
    "bf16": (gguf.LlamaFileType.MOSTLY_BF16, gguf.GGMLQuantizationType.BF16),
    "f32": (gguf.LlamaFileType.ALL_F32, gguf.GGMLQuantizationType.F32),
}
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""llama.cpp's token types."""


def export(
    folder: Path,
    target: Path,
    *,
    name: str = "policy",
    kind: str = "bf16",
    exact: Mapping[str, torch.Tensor] | None = None,
) -> Path:
    """Write `folder` (config, safetensors, tokenizer) to `target` with matrices of one of KINDS and f32 norms.

    f32 and bf16 have the weights exactly; llama.cpp rounds what meets a bf16 matrix to bf16, too, so that only f32
    gives exactly the text of fp32. q8_0 rounds each weight to one of 255 steps, 32 of them to a scale: half the size
    of bf16 and, on CPUs, several times its speed. `exact`: tensors under Hugging Face's names, of more precision than
    the folder's, which are written instead of those.
    """
    config = json.loads((folder / "config.json").read_text())
    family = _check(config)
    writer = gguf.GGUFWriter(str(target), family.name)
    writer.add_name(name)
    writer.add_file_type(KINDS[kind][0])
    _write_shape(writer, config)
    for name, add in family.scales:
        add(writer, float(config[name]))
    _write_tokenizer(writer, folder, config)
    _write_rope_factors(writer, config)
    _write_tensors(writer, folder, config, family, KINDS[kind][1], exact or {})
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def permute(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """From Hugging Face's split rotary halves to llama.cpp's interleaved pairs, by rows."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def _rope_parameters(config: dict[str, Any]) -> dict[str, Any]:
    """Rotary settings of either spelling (transformers 5 nests them)."""
    nested = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return {"rope_type": "default", "rope_theta": config.get("rope_theta", 10000.0)} | nested


def _check(config: dict[str, Any]) -> Family:
    """Raises Unsupported."""
    family = family_of(config)
    if config.get("attention_bias") or config.get("mlp_bias"):
        raise Unsupported("the bias of a projection", "present")
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    if window and window < config["max_position_embeddings"]:
        raise Unsupported("the attention's window", f"{window} tokens, less than the context")
    kind = _rope_parameters(config)["rope_type"]
    if kind not in family.rope_types:
        raise Unsupported("the rotary scaling", str(kind))
    return family


def _write_shape(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    heads, width = config["num_attention_heads"], config["hidden_size"]
    head_width = config.get("head_dim") or width // heads
    rope = _rope_parameters(config)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(head_width)
    writer.add_value_length(head_width)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(head_width)
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    writer.add_vocab_size(config["vocab_size"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))


def _write_rope_factors(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    """Llama 3.1's scaling, as what llama.cpp divides the plain frequencies by."""
    rope = _rope_parameters(config)
    if rope["rope_type"] != "llama3":
        return
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    plain = inverse_frequencies({**rope, "rope_type": "default"}, width, config["max_position_embeddings"])
    scaled = inverse_frequencies(rope, width, config["max_position_embeddings"])
    writer.add_tensor("rope_freqs.weight", (plain / scaled).float().numpy())


def _write_tokenizer(writer: gguf.GGUFWriter, folder: Path, config: dict[str, Any]) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    model = tokenizer["model"]
    if model["type"] != "BPE" or model.get("byte_fallback"):
        raise Unsupported("the tokenizer", f"{model['type']}, not byte-level BPE")
    words = {index: (word, NORMAL) for word, index in model["vocab"].items()}
    for added in tokenizer["added_tokens"]:
        words[added["id"]] = (added["content"], CONTROL if added["special"] else USER_DEFINED)
    table = [words.get(index, (f"[PAD{index}]", UNUSED)) for index in range(config["vocab_size"])]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer_name(tokenizer.get("pre_tokenizer")))
    writer.add_token_list([word for word, _ in table])
    writer.add_token_types([kind for _, kind in table])
    writer.add_token_merges(merges)
    _write_special_tokens(writer, folder, config)


def _write_special_tokens(writer: gguf.GGUFWriter, folder: Path, config: dict[str, Any]) -> None:
    generation = folder / "generation_config.json"
    settled = json.loads(generation.read_text()) if generation.exists() else {}
    end = settled.get("eos_token_id", config.get("eos_token_id"))
    end = end[0] if isinstance(end, list) else end  # the first is the one that the chat template writes
    if end is None:
        raise Unsupported("eos_token_id of config.json", "missing: no reply could end")
    writer.add_eos_token_id(end)
    if config.get("bos_token_id") is not None:
        writer.add_bos_token_id(config["bos_token_id"])
    if config.get("pad_token_id") is not None:
        writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)  # prompts come as token ids that already hold what the template wants
    writer.add_add_space_prefix(False)
    template = folder / "chat_template.jinja"
    if template.exists():
        writer.add_chat_template(template.read_text())


def pre_tokenizer_name(pre_tokenizer: dict[str, Any] | None) -> str:
    """llama.cpp's name for how text is cut before merging. Raises Unsupported rather than guess."""
    steps = (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer] if pre_tokenizer else [])
    by_type = {step["type"]: step for step in steps}
    if set(by_type) == {"ByteLevel"} and by_type["ByteLevel"]["use_regex"]:
        return "gpt-2"
    if set(by_type) == {"Digits", "ByteLevel"} and by_type["Digits"]["individual_digits"]:
        return "smollm"
    if set(by_type) == {"Split", "ByteLevel"}:
        pattern = by_type["Split"]["pattern"].get("Regex", "")
        if pattern.startswith("(?i:'s") and "\\p{N}{1,3}|" in pattern:
            return "llama-bpe"
        if pattern.startswith("(?i:'s") and "|\\p{N}|" in pattern:
            return "qwen2"
    raise Unsupported("the pre-tokenizer", json.dumps(pre_tokenizer)[:200])


def _write_tensors(
    writer: gguf.GGUFWriter,
    folder: Path,
    config: dict[str, Any],
    family: Family,
    kind: gguf.GGMLQuantizationType,
    exact: Mapping[str, torch.Tensor],
) -> None:
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  not a dict
                if name == "lm_head.weight" and config.get("tie_word_embeddings"):
                    continue
                tensor = exact[name] if name in exact else file.get_tensor(name)
                if family.interleaves and ".q_proj." in name:
                    tensor = permute(tensor, heads)
                elif family.interleaves and ".k_proj." in name:
                    tensor = permute(tensor, kv_heads)
                _write_tensor(writer, family.tensor_name(name), tensor, _fitting(kind, tensor))


def _fitting(kind: gguf.GGMLQuantizationType, tensor: torch.Tensor) -> gguf.GGMLQuantizationType:
    """Norms stay in f32, and matrices whose rows are no whole blocks in bf16."""
    if tensor.ndim == 1:
        return gguf.GGMLQuantizationType.F32
    block, _bytes = gguf.GGML_QUANT_SIZES[kind]
    return kind if tensor.shape[-1] % block == 0 else gguf.GGMLQuantizationType.BF16


def _write_tensor(writer: gguf.GGUFWriter, name: str, tensor: torch.Tensor, kind: gguf.GGMLQuantizationType) -> None:
    if kind == gguf.GGMLQuantizationType.BF16:  # without the way through fp32
        writer.add_tensor(name, tensor.to(torch.bfloat16).contiguous().view(torch.uint8).numpy(), raw_dtype=kind)
    else:
        writer.add_tensor(name, gguf.quantize(tensor.float().numpy(), kind), raw_dtype=kind)
