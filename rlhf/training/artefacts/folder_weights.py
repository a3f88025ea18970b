"""The weights of a Hugging Face folder, in one file or in shards, written as one safetensors file in bf16.

One tensor is in memory at a time, so that a model of any size is taken by a machine of any size.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from rlhf.training.artefacts.sources import BadSource

INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"
TYPES = {torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL"}
"""What may stand in the file: what is real is in bf16, what counts stays as it is."""


def chosen(source: str, folder: Path, present: Collection[str]) -> list[str]:
    """Of the names `present` those that hold the weights: as the index in `folder` says, else the one of the usual
    name, else all of its type. Raises BadSource."""
    if (folder / INDEX).exists():
        names = _named_by(source, folder / INDEX)
        absent = [name for name in names if Path(name).name != name or name not in present]
        if absent:
            raise BadSource(source, f"its {INDEX} names files that are not there: {', '.join(absent[:3])}")
        return names
    if WHOLE in present:
        return [WHOLE]
    found = sorted(name for name in present if name.endswith(".safetensors") and "/" not in name)
    if not found:
        raise BadSource(source, "it has no safetensors; pickled weights are never read; a copy in safetensors does")
    return found


def _named_by(source: str, index: Path) -> list[str]:
    try:
        return sorted({str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise BadSource(source, f"its {index.name} cannot be read: {error}") from error


def join(source: str, folder: Path, target: Path, *, tied: bool) -> None:
    """Write every tensor once; `tied`: the head is the embedding and left out. Raises BadSource."""
    with ExitStack() as stack:
        places: dict[str, Any] = {}
        for name in chosen(source, folder, [path.name for path in folder.iterdir()]):
            file = _opened(source, folder / name, stack)
            places |= dict.fromkeys(file.keys(), file)
        if tied:
            places.pop("lm_head.weight", None)
        header = _header(source, places)
        with target.open("wb") as out:
            out.write(len(header).to_bytes(8, "little") + header)
            for tensor in _tensors(places):
                out.write(tensor.reshape(-1).view(torch.uint8).numpy().data)


def _opened(source: str, path: Path, stack: ExitStack) -> Any:
    try:
        return stack.enter_context(safe_open(str(path), framework="pt"))
    except (SafetensorError, OSError) as error:
        raise BadSource(source, f"its {path.name} is damaged: {error}; fetch it again") from error


def _tensors(places: dict[str, Any]) -> Iterator[torch.Tensor]:
    for name in sorted(places):
        tensor: torch.Tensor = places[name].get_tensor(name)
        yield (tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor).contiguous()


def _header(source: str, places: dict[str, Any]) -> bytes:
    """Of the safetensors format: JSON with each tensor's type, shape and place, padded to a multiple of eight."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name in sorted(places):
        part = places[name].get_slice(name)
        kind, shape = part.get_dtype(), part.get_shape()
        written = "BF16" if kind in {"F16", "F32", "F64", "BF16"} else kind
        if written not in TYPES.values():
            raise BadSource(source, f"its tensor {name} is of type {kind}; a copy in bf16 does")
        size = torch.Size(shape).numel() * next(one.itemsize for one, word in TYPES.items() if word == written)
        header[name] = {"dtype": written, "shape": shape, "data_offsets": [start, start + size]}
        start += size
    text = json.dumps(header).encode()
    return text + b" " * (-len(text) % 8)
