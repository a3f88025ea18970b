"""Checkpoints to resume a run from: its state between two iterations as safetensors and JSON, with their hashes."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf.training import processes
from rlhf.training.artefacts import checkpoints

PREFIX = "iteration-"

log = logging.getLogger(__name__)


class CheckpointMismatch(Exception):
    """The directory holds the checkpoint of a run with other settings."""

    def __init__(self, directory: Path, key: str) -> None:
        super().__init__(f"{directory} contains the checkpoint of another run: its {key} differs")
        self.directory = directory
        self.key = key


class Checkpointer:
    """Stores the two newest checkpoints of one run, each with the hashes of its files.

    A kill at any moment leaves the former one intact, and a damaged one is never continued.
    """

    def __init__(self, directory: Path, identity: dict[str, Any]) -> None:
        self.directory = directory
        self.identity: dict[str, Any] = json.loads(json.dumps(identity))

    def save(self, iteration: int, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Remove all but the newest checkpoint, and write another beside it. Raises NotFinite.

        Of several processes the main one does, whose state is that of all.
        """
        if not processes.is_main():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        for former in self._checkpoints()[:-1]:
            shutil.rmtree(former)
        draft = self.directory / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, draft / "state.safetensors")
        (draft / "state.json").write_text(json.dumps({"identity": self.identity, "values": values}))
        checkpoints.seal(draft)
        final = self.directory / f"{PREFIX}{iteration:06d}"
        shutil.rmtree(final, ignore_errors=True)
        os.replace(draft, final)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and values of the newest undamaged checkpoint; None where there is none. Raises CheckpointMismatch.

        What is passed over is removed, and said in the log.
        """
        for found in reversed(self._checkpoints()):
            try:
                checkpoints.verify(found)
            except checkpoints.Damaged as damage:
                log.warning("a checkpoint is damaged and is not used: %s", damage)
                if processes.is_main():
                    shutil.rmtree(found)
                continue
            return self._read(found)
        return None

    def _read(self, found: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        state = json.loads((found / "state.json").read_text())
        for key, value in self.identity.items():
            if state["identity"].get(key) != value:
                raise CheckpointMismatch(self.directory, key)
        log.info("the run goes on from %s", found)
        return load_file(found / "state.safetensors"), state["values"]

    def _checkpoints(self) -> list[Path]:
        return sorted(self.directory.glob(f"{PREFIX}*")) if self.directory.exists() else []
