"""Checkpoints to resume a run from: its state between two iterations, written atomically as safetensors and JSON."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

PREFIX = "iteration-"


class CheckpointMismatch(Exception):
    """The directory holds the checkpoint of a run with other settings."""

    def __init__(self, directory: Path, key: str) -> None:
        super().__init__(f"{directory} contains the checkpoint of another run: its {key} differs")
        self.directory = directory
        self.key = key


class Checkpointer:
    """Stores the newest checkpoint of one run. A kill at any moment leaves the former one intact."""

    def __init__(self, directory: Path, identity: dict[str, Any]) -> None:
        self.directory = directory
        self.identity: dict[str, Any] = json.loads(json.dumps(identity))

    def save(self, iteration: int, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Write beside the former checkpoint, make it durable, rename, then remove the former."""
        self.directory.mkdir(parents=True, exist_ok=True)
        draft = self.directory / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, draft / "state.safetensors")
        (draft / "state.json").write_text(json.dumps({"identity": self.identity, "values": values}))
        for file in draft.iterdir():
            _make_durable(file)
        final = self.directory / f"{PREFIX}{iteration:06d}"
        shutil.rmtree(final, ignore_errors=True)
        os.replace(draft, final)
        for former in self._checkpoints():
            if former != final:
                shutil.rmtree(former)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest checkpoint's tensors and values; None where there is none."""
        found = self._checkpoints()
        if not found:
            return None
        state = json.loads((found[-1] / "state.json").read_text())
        for key, value in self.identity.items():
            if state["identity"].get(key) != value:
                raise CheckpointMismatch(self.directory, key)
        return load_file(found[-1] / "state.safetensors"), state["values"]

    def _checkpoints(self) -> list[Path]:
        return sorted(self.directory.glob(f"{PREFIX}*")) if self.directory.exists() else []


def _make_durable(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
