"""The file that answers people: written in a chosen type, and measured against the weights that it was made from.

llama.cpp rounds the matrices to the file's type, and what meets them to a type of its own. Training, scoring and
evaluation read the safetensors, so people's replies come from slightly other probabilities; how far they are is
measured here, by the same arithmetic in torch, and stored beside the file.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from rlhf.training.artefacts import gguf_export, gguf_import, library_probabilities
from rlhf.training.model.rope import UnsupportedArchitecture
from rlhf.training.model.transformer import Transformer
from rlhf.training.model.weights import LayerWeights, TransformerConfig, fuse_layer, layer_names
from rlhf.training.tokens import ChatTokenizer, NoPadding

GGUF, FIGURES = "policy.gguf", "served.json"
MEASURED = Path(__file__).with_name("measured_turns.json")
"""Questions with answers in which the next token is asked for: fixed, so that policies can be compared."""
BLOCK = 32
"""Numbers that share one scale in q8_0."""
Read = Callable[[str], Tensor]


def write(folder: Path, *, kind: str, name: str, exact: Mapping[str, Tensor] | None = None) -> None:
    """Writes the file and its figures into a folder with config, safetensors and tokenizer. `exact`: tensors of which
    the safetensors hold rounded copies. Raises Unsupported, and has written nothing, for what llama.cpp's file cannot
    hold: its safetensors are served as they are."""
    gguf_export.export(folder, folder / GGUF, name=name, kind=kind, exact=exact)
    (folder / FIGURES).write_text(json.dumps({"type": kind, **_measured(folder)}))


def is_of_another_type(folder: Path, kind: str) -> bool:
    """Whether the folder has a file, and not of this type."""
    return (folder / GGUF).exists() and _type_of(folder) != kind


def _type_of(folder: Path) -> str | None:
    """None for a folder without a file, and for one from before the types, whose file is in bf16."""
    path = folder / FIGURES
    return str(json.loads(path.read_text())["type"]) if path.exists() else None


def _measured(folder: Path) -> dict[str, Any]:
    """Nothing of a model whose rows cannot be padded: no training takes it as a base either."""
    try:
        return distance(folder)
    except NoPadding:
        return {}


def distance(folder: Path) -> dict[str, Any]:
    """`kl_nats`: of the file's next-token distribution from the weights' own, on average over the tokens of fixed
    answers; `same_token`: the share of them where both find the same token most probable."""
    file = gguf_import.Tensors(folder / GGUF, json.loads((folder / "config.json").read_text()))
    ids, asked = _turns(ChatTokenizer.load(folder))
    with torch.no_grad():
        exact, served = log_probs(folder, file, ids, asked)
    nats = functional.kl_div(served, exact, log_target=True, reduction="sum").item() / len(exact)
    same = (served.argmax(-1) == exact.argmax(-1)).float().mean().item()
    return {"kl_nats": max(0.0, nats), "same_token": same, "tokens": len(exact)}


def log_probs(folder: Path, file: gguf_import.Tensors, ids: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """By the weights and by the file, each [tokens asked for, V] in fp32: by our Llama a layer's weights at a time,
    else by transformers with the whole model in memory."""
    round_inputs = ROUND_INPUTS[file.kind]
    try:
        config = TransformerConfig.read(folder)
    except UnsupportedArchitecture:
        return library_probabilities.log_probs(folder, file.read, ids, asked, round_inputs=round_inputs)
    exact = _log_probs(config, _safetensors(folder), ids, asked, round_inputs=None)
    return exact, _log_probs(config, file.read, ids, asked, round_inputs=round_inputs)


def _turns(tokenizer: ChatTokenizer) -> tuple[Tensor, Tensor]:
    """ids [B, T], right-padded, and [B, T]: whether the next token is one of an answer, its end included."""
    rows, starts = [], []
    for question, answer in json.loads(MEASURED.read_text(encoding="utf-8")):
        prompt = tokenizer.prompt_ids([{"role": "user", "content": question}])
        starts.append(len(prompt) - 1)
        rows.append([*prompt, *tokenizer.completion_ids(answer, finished=True)])
    width = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.padding_id] * (width - len(row)) for row in rows])
    places = torch.arange(width)
    asked = [(places >= start) & (places < len(row) - 1) for start, row in zip(starts, rows, strict=True)]
    return ids, torch.stack(asked)


def _safetensors(folder: Path) -> Read:
    """Reads one tensor at a time, so that no second model in fp32 has to fit the memory."""
    files: list[Any] = [safe_open(str(path), framework="pt") for path in sorted(folder.glob("*.safetensors"))]
    places = {name: file for file in files for name in file.keys()}  # noqa: SIM118  not a dict

    def read(name: str) -> Tensor:
        tensor: Tensor = places[name].get_tensor(name)
        return tensor.float()

    return read


def _log_probs(
    config: TransformerConfig,
    read: Read,
    ids: Tensor,
    asked: Tensor,
    *,
    round_inputs: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """[tokens asked for, V], in fp32, a layer's weights at a time."""
    embedding = read("model.embed_tokens.weight")
    head = embedding if config.tied else read("lm_head.weight")
    norm = read("model.norm.weight")
    model = Transformer(config, embedding, (), norm, head, adapted_layers=config.layers)
    rope, states = model.rope(torch.arange(ids.shape[1])), model.embed(ids)
    for index in range(config.layers):
        weights = fuse_layer({name: read(name) for name in layer_names(index)}, index, torch.float32)
        adapter = None if round_inputs is None else _RoundedInputs(weights, round_inputs)
        states = model.run_layers(
            states, range(index, index + 1), rope=rope, adapter=adapter, weights={index: weights}
        )
    hidden = model.final_norm(states)[asked]
    return model.logits(hidden if round_inputs is None else round_inputs(hidden)).log_softmax(-1)


@dataclass(frozen=True)
class _RoundedInputs:
    """A layer whose matrices meet rounded inputs, as an adapter that replaces each projection."""

    weights: LayerWeights
    round_inputs: Callable[[Tensor], Tensor]

    def layer(self, index: int) -> "_RoundedInputs":
        return self

    def add(self, projection: str, inputs: Tensor, outputs: Tensor) -> Tensor:
        return functional.linear(self.round_inputs(inputs), getattr(self.weights, projection))


def _to_bf16(inputs: Tensor) -> Tensor:
    return inputs.to(torch.bfloat16).to(inputs.dtype)


def _to_q8_0(inputs: Tensor) -> Tensor:
    """Whole numbers from -127 to 127 times one scale for each block, as ggml rounds what meets a q8_0 matrix."""
    blocks = inputs.reshape(*inputs.shape[:-1], -1, BLOCK)
    scale = (blocks.abs().amax(-1, keepdim=True) / 127).half().to(inputs.dtype)
    whole = (blocks / scale.clamp_min(torch.finfo(inputs.dtype).tiny)).round().clamp(-127, 127)
    return (whole * scale).flatten(-2)


ROUND_INPUTS: Mapping[str, Callable[[Tensor], Tensor] | None] = {"f32": None, "bf16": _to_bf16, "q8_0": _to_q8_0}
