"""Atomic directories of weights: written aside, synced, listed in a manifest with sha256, then renamed."""

import ctypes
import hashlib
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors import safe_open

MANIFEST = "manifest.json"
FORMAT = 1
REFUSED_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".py", ".ckpt", ".npy"})
"""Formats that run code when loaded, or code itself."""
STALE_AFTER_S = 3600.0


@dataclass
class NotFinite(Exception):
    """A weight is NaN or infinite."""

    file: str
    tensor: str

    def __str__(self) -> str:
        return f"{self.file}: tensor {self.tensor} holds a value that is not finite"


@dataclass
class RefusedFile(Exception):
    """A file that may run code when it is loaded."""

    file: str

    def __str__(self) -> str:
        return f"{self.file}: only safetensors, GGUF and text files belong in a checkpoint"


@dataclass
class Damaged(Exception):
    """A directory without a manifest, or one that differs from it."""

    directory: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.directory}: {self.reason}"


def publish(write: Callable[[Path], None], target: Path, *, base: str | None = None) -> Path:
    """Let `write` fill a new directory and move it to `target` atomically.

    A process killed at any point leaves the old directory or the new one. Raises NotFinite and RefusedFile
    before anything at `target` changes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    draft = target.parent / f"tmp-{uuid.uuid4().hex}"
    draft.mkdir(mode=0o700)
    try:
        write(draft)
        seal(draft, base=base)
        _put(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def seal(directory: Path, *, base: str | None = None) -> None:
    """Check every tensor, flush every file, and write the manifest last."""
    files: dict[str, dict[str, object]] = {}
    tensors = 0
    for path in _files(directory):
        if path.suffix in REFUSED_SUFFIXES:
            raise RefusedFile(path.name)
        if path.suffix == ".safetensors":
            tensors += _count_finite(path)
        os.chmod(path, 0o600)
        files[path.relative_to(directory).as_posix()] = {
            "sha256": _digest(path),
            "bytes": path.stat().st_size,
        }
        _sync(path)
    manifest = {
        "format": FORMAT,
        "files": files,
        "tensors": tensors,
        "base": base,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path = directory / MANIFEST
    path.write_text(json.dumps(manifest, indent=1))
    _sync(path)
    for folder in {path.parent for path in _files(directory)} | {directory}:
        _sync(folder)


def verify(directory: Path) -> dict[str, object]:
    """Return the manifest of an undamaged directory. Raises Damaged."""
    manifest, listed = _read_manifest(directory)
    present = {path.relative_to(directory).as_posix() for path in _files(directory)}
    if present != set(listed):
        raise Damaged(directory, f"files differ from the manifest: {sorted(present ^ set(listed))}")
    for name, entry in listed.items():
        path = directory / name
        if path.stat().st_size != entry.get("bytes") or _digest(path) != entry.get("sha256"):
            raise Damaged(directory, f"{name} differs from the manifest")
    return manifest


def _read_manifest(directory: Path) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    """The manifest and the files that it lists. Raises Damaged."""
    try:
        manifest = json.loads((directory / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise Damaged(directory, f"no readable manifest ({error})") from error
    listed = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(listed, dict) or not all(isinstance(entry, dict) for entry in listed.values()):
        raise Damaged(directory, "the manifest lists no files")
    return manifest, listed


def _count_finite(path: Path) -> int:
    """Number of tensors in a safetensors file. Raises NotFinite."""
    count = 0
    with safe_open(str(path), framework="pt") as file:
        for name in file.keys():  # noqa: SIM118  not a dict
            tensor = file.get_tensor(name)
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise NotFinite(path.name, name)
            count += 1
    return count


def sweep(parent: Path, *, older_than_s: float = STALE_AFTER_S) -> list[Path]:
    """Remove drafts that killed processes left, and restore a directory caught between two renames."""
    removed: list[Path] = []
    for aside in parent.glob("aside-*"):
        original = parent / aside.name.split("-", 2)[2]
        if not original.exists():
            aside.rename(original)
        else:
            shutil.rmtree(aside, ignore_errors=True)
            removed.append(aside)
    for draft in parent.glob("tmp-*"):
        if draft.is_dir() and time.time() - draft.stat().st_mtime >= older_than_s:
            shutil.rmtree(draft, ignore_errors=True)
            removed.append(draft)
    return removed


def _put(draft: Path, target: Path) -> None:
    if not target.exists():
        os.replace(draft, target)
    elif not _exchange(draft, target):
        # No atomic exchange on this system: a kill between the two renames is undone by the next sweep.
        aside = target.parent / f"aside-{uuid.uuid4().hex}-{target.name}"
        os.replace(target, aside)
        os.replace(draft, target)
        shutil.rmtree(aside, ignore_errors=True)
    _sync(target.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two directories atomically where the kernel can (Linux renameat2 with RENAME_EXCHANGE)."""
    if not sys.platform.startswith("linux"):
        return False
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    at_cwd, exchange = -100, 2
    return call is not None and call(at_cwd, bytes(one), at_cwd, bytes(other), exchange) == 0


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in sorted(directory.rglob("*")) if path.is_file() and path != directory / MANIFEST)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
