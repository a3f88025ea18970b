"""Imports a GGUF file of the Llama family, quantised or not, as a Hugging Face folder in bf16.

Not left to transformers' `gguf_file`: that keeps the quantisation in the config (so the model
refuses to be saved) and drops the pre-tokenizer's name, so that SmolLM2's digits would be cut wrongly.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors.torch import save_file

from rlhf.training.artefacts import card
from rlhf.training.artefacts.gguf_export import CONTROL, USER_DEFINED
from rlhf.training.artefacts.gguf_families import LLAMA, Unsupported, family_of

WHOLE_TENSORS = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")
LAYER_TENSORS = (
    *(f"self_attn.{part}_proj" for part in "qkvo"),
    *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
    *("input_layernorm", "post_attention_layernorm"),
)
"""Of Llama."""
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


PRE_TOKENIZERS: dict[str, dict[str, Any]] = {
    "gpt-2": {**_BYTE_LEVEL, "use_regex": True},
    "default": {**_BYTE_LEVEL, "use_regex": True},
    "smollm": {
        "type": "Sequence",
        "pretokenizers": [{"type": "Digits", "individual_digits": True}, {**_BYTE_LEVEL, "use_regex": True}],
    },
    "llama-bpe": {"type": "Sequence", "pretokenizers": [_split(_LLAMA3), {**_BYTE_LEVEL, "use_regex": False}]},
    "qwen2": {"type": "Sequence", "pretokenizers": [_split(_QWEN2), {**_BYTE_LEVEL, "use_regex": False}]},
}


def convert(source: Path, folder: Path) -> dict[str, Any]:
    """Write config, tokenizer and bf16 weights of `source` into `folder`; return its name, licence and languages."""
    reader = gguf.GGUFReader(str(source))
    fields = {name: field.contents() for name, field in reader.fields.items()}
    if fields.get("general.architecture") != "llama":
        raise Unsupported("the architecture", str(fields.get("general.architecture")))
    config = _config(fields, tied=all(tensor.name != "output.weight" for tensor in reader.tensors))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    _write_generation_config(folder, config)
    _write_tokenizer(folder, fields, config)
    save_file(_weights(reader, config), str(folder / "model.safetensors"), metadata={"format": "pt"})
    kinds = sorted({tensor.tensor_type.name for tensor in reader.tensors if len(tensor.shape) > 1})
    return {
        "name": str(fields.get("general.name", source.stem)),
        "license": str(fields.get("general.license", "unknown")),
        "languages": card.as_list(fields.get("general.languages")),
        "quantisation": ", ".join(kinds),
    }


def _config(fields: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    def of(name: str) -> Any:
        return fields[f"llama.{name}"]

    heads, width = of("attention.head_count"), of("embedding_length")
    if fields.get("llama.rope.scaling.type", "none") != "none":
        raise Unsupported("the rotary scaling", str(fields["llama.rope.scaling.type"]))
    tokens = fields["tokenizer.ggml.tokens"]
    end = fields["tokenizer.ggml.eos_token_id"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "dtype": "bfloat16",
        "head_dim": fields.get("llama.attention.key_length", width // heads),
        "hidden_act": "silu",
        "hidden_size": width,
        "initializer_range": 0.02,
        "intermediate_size": of("feed_forward_length"),
        "max_position_embeddings": of("context_length"),
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": of("block_count"),
        "num_key_value_heads": fields.get("llama.attention.head_count_kv", heads),
        # The file holds a float32, so 1e-5 comes back as 9.999999747e-06.
        "rms_norm_eps": float(f"{of('attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": fields.get("llama.rope.freq_base", 10000.0),
        },
        "tie_word_embeddings": tied,
        "use_cache": True,
        "vocab_size": len(tokens),
        "bos_token_id": fields.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": end,
        "pad_token_id": _padding_id(fields["tokenizer.ggml.token_type"], end, fields),
    }


def _padding_id(kinds: list[int], end: int, fields: dict[str, Any]) -> int:
    """A control token that neither ends a reply nor stands in the template; SmolLM2 names its end as padding."""
    named = fields.get("tokenizer.ggml.padding_token_id")
    if named is not None and named != end:
        return int(named)
    taken = {end, fields.get("tokenizer.ggml.bos_token_id")}
    unknown = fields.get("tokenizer.ggml.unknown_token_id")
    if unknown is not None and unknown not in taken:
        return int(unknown)
    free = [index for index, kind in enumerate(kinds) if kind == CONTROL and index not in taken]
    if not free:
        raise Unsupported("a padding token other than the end token", "missing")
    return free[0]


def _write_generation_config(folder: Path, config: dict[str, Any]) -> None:
    ids = {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    (folder / "generation_config.json").write_text(json.dumps(ids, indent=1))


def _write_tokenizer(folder: Path, fields: dict[str, Any], config: dict[str, Any]) -> None:
    if fields["tokenizer.ggml.model"] != "gpt2":
        raise Unsupported("the tokenizer", str(fields["tokenizer.ggml.model"]))
    cut = fields.get("tokenizer.ggml.pre", "default")
    if cut not in PRE_TOKENIZERS:
        raise Unsupported("the pre-tokenizer", cut)
    words, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    added = [
        {"id": index, "content": word, "special": kind == CONTROL}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for index, (word, kind) in enumerate(zip(words, kinds, strict=True))
        if kind in {CONTROL, USER_DEFINED}
    ]
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": cut == "llama-bpe",
        "vocab": {word: index for index, word in enumerate(words)},
        "merges": [merge.split(" ", 1) for merge in fields["tokenizer.ggml.merges"]],
    }
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZERS[cut],
        "post_processor": None,
        "decoder": {**_BYTE_LEVEL, "use_regex": True},
        "model": model,
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    _write_tokenizer_config(folder, words, config)
    if "tokenizer.chat_template" in fields:
        (folder / "chat_template.jinja").write_text(fields["tokenizer.chat_template"])


def _write_tokenizer_config(folder: Path, words: list[str], config: dict[str, Any]) -> None:
    roles = {"bos_token": "bos_token_id", "eos_token": "eos_token_id", "pad_token": "pad_token_id"}
    named = {role: words[config[key]] for role, key in roles.items() if config[key] is not None}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, **named}, indent=1))


def _weights(reader: gguf.GGUFReader, config: dict[str, Any]) -> dict[str, torch.Tensor]:
    tensors = Tensors(reader, config)
    return {name: tensors.read(name).to(torch.bfloat16).contiguous() for name in tensors.names()}


class Tensors:
    """The tensors of a GGUF file under Hugging Face's names, each read and dequantised when it is asked for."""

    def __init__(self, file: gguf.GGUFReader | Path, config: Mapping[str, Any]) -> None:
        """`config`: of the Hugging Face folder. Raises Unsupported."""
        reader = gguf.GGUFReader(str(file)) if isinstance(file, Path) else file
        self._found = {tensor.name: tensor for tensor in reader.tensors}
        self._family = family_of(config)
        heads = config["num_attention_heads"]
        self._heads = {".q_proj.": heads, ".k_proj.": config.get("num_key_value_heads") or heads}

    def names(self) -> list[str]:
        """Of a file of the Llama family. Raises Unsupported where one has no name of Hugging Face's."""
        return [_name(name) for name in self._found]

    @property
    def kind(self) -> str:
        """The type of the matrices that layers multiply by, as in `q8_0`."""
        return str(self._found["blk.0.ffn_down.weight"].tensor_type.name).lower()

    def read(self, name: str) -> torch.Tensor:
        """In fp32."""
        tensor = self._found[self._family.tensor_name(name)]
        values = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy()).float()
        count = next((count for mark, count in self._heads.items() if mark in name), None)
        return unpermute(values, count) if self._family.interleaves and count is not None else values


def unpermute(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """From llama.cpp's interleaved rotary pairs to Hugging Face's halves, by rows."""
    rows = weight.shape[0]
    return weight.reshape(heads, rows // heads // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def _name(name: str) -> str:
    whole = {LLAMA.tensor_name(long): long for long in WHOLE_TENSORS}
    if name in whole:
        return whole[name]
    index = name.split(".")[1] if name.startswith("blk.") else ""
    back = {
        LLAMA.tensor_name(long): long for part in LAYER_TENSORS for long in [f"model.layers.{index}.{part}.weight"]
    }
    if not index.isdigit() or name not in back:
        raise Unsupported("the tensor", name)
    return back[name]
