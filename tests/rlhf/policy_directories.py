"""A policy directory of a few hundred bytes, whole by its manifest; nothing could answer with it."""

import hashlib
import json
from pathlib import Path


def write_policy(
    directory: Path, mark: str = "", weights: bytes = b"\x80\x3f" * 8, config: dict[str, object] | None = None
) -> Path:
    """`weights` are bfloat16; the default is eight ones."""
    directory.mkdir(parents=True, exist_ok=True)
    header = {"w": {"dtype": "BF16", "shape": [len(weights) // 2], "data_offsets": [0, len(weights)]}}
    head = json.dumps(header).encode()
    (directory / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + weights)
    (directory / "config.json").write_text(json.dumps({"model_type": "llama", "mark": mark, **(config or {})}))
    names = ("config.json", "model.safetensors")
    files = {
        name: {
            "sha256": hashlib.sha256((directory / name).read_bytes()).hexdigest(),
            "bytes": (directory / name).stat().st_size,
        }
        for name in names
    }
    (directory / "manifest.json").write_text(json.dumps({"format": 1, "files": files}))
    return directory


def spoil_last_weight(directory: Path) -> None:
    """Puts a NaN at the end of the weights and makes the manifest fit."""
    weights = directory / "model.safetensors"
    content = weights.read_bytes()[:-2] + b"\xc0\x7f"
    weights.write_bytes(content)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["files"]["model.safetensors"]["sha256"] = hashlib.sha256(content).hexdigest()
    (directory / "manifest.json").write_text(json.dumps(manifest))
