"""What a model of transformers finds probable, with its weights and with those of the file that answers people."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

Read = Callable[[str], Tensor]
Round = Callable[[Tensor], Tensor]


def log_probs(
    folder: Path, read: Read, ids: Tensor, asked: Tensor, *, round_inputs: Round | None
) -> tuple[Tensor, Tensor]:
    """ids [B, T], right-padded, asked [B, T] bool -> [tokens asked for, V] by the folder's weights and by those that
    `read` gives, which meet rounded inputs; in fp32."""
    model: Any = AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
    ).eval()
    exact = _of_rows(model, ids, asked)
    _take_weights(model, read)
    if round_inputs is not None:
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_pre_hook(lambda _, inputs: (round_inputs(inputs[0]), *inputs[1:]))
    return exact, _of_rows(model, ids, asked)


def _take_weights(model: Any, read: Read) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # a head that is the embedding is named once
            parameter.copy_(read(name))


def _of_rows(model: Any, ids: Tensor, asked: Tensor) -> Tensor:
    """A row at a time: the logits of all of them are wide."""
    with torch.no_grad():
        rows = [
            model(row[None], use_cache=False).logits[0][where].float().log_softmax(-1)
            for row, where in zip(ids, asked, strict=True)
        ]
    return torch.cat(rows)
