"""A policy directory of a few hundred bytes, whole by its manifest; nothing could answer with it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType


def write_policy(
    directory: Path,
    mark: str = "",
    weights: bytes = b"\x80\x3f" * 8,
    config: dict[str, object] | None = None,
    adapter_over: str = "",
    more: Mapping[str, bytes] = MappingProxyType({}),
) -> Path:
    """`weights` are bfloat16; the default is eight ones. `adapter_over`: the directory name of the policy that an
    adapter beside them changes; without a name there is no adapter. `more`: other files."""
    directory.mkdir(parents=True, exist_ok=True)
    header = {"w": {"dtype": "BF16", "shape": [len(weights) // 2], "data_offsets": [0, len(weights)]}}
    head = json.dumps(header).encode()
    tensors = len(head).to_bytes(8, "little") + head + weights
    (directory / "model.safetensors").write_bytes(tensors)
    (directory / "config.json").write_text(json.dumps({"model_type": "llama", "mark": mark, **(config or {})}))
    for name, content in more.items():
        (directory / name).write_bytes(content)
    names = ["config.json", "model.safetensors", *more]
    if adapter_over:
        names += _write_adapter(directory, adapter_over, tensors)
    files = {
        name: {
            "sha256": hashlib.sha256((directory / name).read_bytes()).hexdigest(),
            "bytes": (directory / name).stat().st_size,
        }
        for name in names
    }
    (directory / "manifest.json").write_text(json.dumps({"format": 1, "files": files}))
    return directory


def _write_adapter(directory: Path, base: str, tensors: bytes) -> list[str]:
    """Names of its files."""
    folder = directory / "adapter"
    folder.mkdir(exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(tensors)
    (folder / "adapter_config.json").write_text(json.dumps({"r": 16, "layers_to_transform": [2, 3]}))
    (folder / "base.json").write_text(json.dumps({"base": base, "base_sha256": "0" * 64}))
    return [f"adapter/{file.name}" for file in sorted(folder.iterdir())]


def spoil_last_weight(directory: Path, weight: bytes = b"\xc0\x7f") -> None:
    """Puts a NaN, or another bfloat16, at the end of the weights and makes the manifest fit."""
    weights = directory / "model.safetensors"
    content = weights.read_bytes()[:-2] + weight
    weights.write_bytes(content)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["files"]["model.safetensors"]["sha256"] = hashlib.sha256(content).hexdigest()
    (directory / "manifest.json").write_text(json.dumps(manifest))
