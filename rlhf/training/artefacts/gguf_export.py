"""Exports a Hugging Face folder of the Llama family as one GGUF file for the embedded engine."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors import safe_open

from rlhf.training.model.rope import inverse_frequencies

LLAMA_FAMILY = frozenset({"llama", "mistral"})
KINDS = {
    "q8_0": (gguf.LlamaFileType.MOSTLY_Q8_0, gguf.GGMLQuantizationType.Q8_0),
    "bf16": (gguf.LlamaFileType.MOSTLY_BF16, gguf.GGMLQuantizationType.BF16),
    "f32": (gguf.LlamaFileType.ALL_F32, gguf.GGMLQuantizationType.F32),
}
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""llama.cpp's token types."""

_TENSORS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
LAYER_TENSORS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


@dataclass
class Unsupported(Exception):
    """The folder has something that the exporter cannot write as GGUF."""

    what: str
    value: str

    def __str__(self) -> str:
        return f"cannot export to GGUF: {self.what} is {self.value}"


def export(folder: Path, target: Path, *, name: str = "policy", kind: str = "bf16") -> Path:
    """Write `folder` (config, safetensors, tokenizer) to `target` with matrices of one of KINDS and f32 norms.

    f32 and bf16 have the weights exactly; llama.cpp rounds what meets a bf16 matrix to bf16, too, so that only f32
    gives exactly the text of fp32. q8_0 rounds each weight to one of 255 steps, 32 of them to a scale: half the size
    of bf16 and, on CPUs, several times its speed.
    """
    config = json.loads((folder / "config.json").read_text())
    _check(config)
    writer = gguf.GGUFWriter(str(target), "llama")
    writer.add_name(name)
    writer.add_file_type(KINDS[kind][0])
    _write_shape(writer, config)
    _write_tokenizer(writer, folder, config)
    _write_rope_factors(writer, config)
    _write_tensors(writer, folder, config, KINDS[kind][1])
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


def _check(config: dict[str, Any]) -> None:
    if config.get("model_type") not in LLAMA_FAMILY:
        raise Unsupported("the architecture", str(config.get("model_type")))
    if config.get("attention_bias") or config.get("mlp_bias"):
        raise Unsupported("the bias of a projection", "present")
    kind = _rope_parameters(config)["rope_type"]
    if kind not in {"default", "linear", "llama3"}:
        raise Unsupported("the rotary scaling", str(kind))


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
    end = config.get("eos_token_id")
    end = end[0] if isinstance(end, list) else end
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
    writer: gguf.GGUFWriter, folder: Path, config: dict[str, Any], kind: gguf.GGMLQuantizationType
) -> None:
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  not a dict
                if name == "lm_head.weight" and config.get("tie_word_embeddings"):
                    continue
                tensor = file.get_tensor(name)
                if ".q_proj." in name:
                    tensor = permute(tensor, heads)
                elif ".k_proj." in name:
                    tensor = permute(tensor, kv_heads)
                _write_tensor(writer, tensor_name(name), tensor, _fitting(kind, tensor))


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


def tensor_name(name: str) -> str:
    """llama.cpp's name of a Hugging Face tensor. Raises Unsupported."""
    if name in _TENSORS:
        return _TENSORS[name]
    parts = name.split(".")
    part = ".".join(parts[3:-1])
    if parts[:2] != ["model", "layers"] or parts[-1] != "weight" or part not in LAYER_TENSORS:
        raise Unsupported("the tensor", name)
    return f"blk.{parts[2]}.{LAYER_TENSORS[part]}.weight"
