"""Policies on disk and in the database: which one is live, who may use which, and whether its files are intact."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q, QuerySet

from accounts.models import User
from accounts.roles import Role
from chat.errors import BadPolicy, NoLivePolicy
from chat.models import Policy

MANIFEST = "manifest.json"
SERVED = "served.json"
FORBIDDEN_SUFFIXES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".py", ".so"}
"""Files that could run code when loaded."""
BLOCK = 1 << 22
EVERYBODYS = Q(owner=None, group=None, label="")
"""A model that somebody made always has a label."""


def live() -> Policy:
    """The policy that answers people. Raises NoLivePolicy."""
    policy = Policy.objects.filter(is_live=True).first()
    if policy is None:
        raise NoLivePolicy
    return policy


def for_everybody() -> QuerySet[Policy]:
    """Policies with weights that were not made from somebody's own data, not even by somebody who has left."""
    return Policy.objects.filter(EVERYBODYS, retired_at=None)


def visible_to(person: User) -> QuerySet[Policy]:
    """Policies that the person may use: everybody's, the live one, their own, their groups'; for an admin, all."""
    usable = Policy.objects.filter(retired_at=None)
    if person.has_role(Role.ADMIN):
        return usable
    theirs = Q(owner=person) | Q(group__in=person.groups.values("pk"))
    return usable.filter(EVERYBODYS | Q(is_live=True) | theirs)


def directory(policy: Policy) -> Path:
    """The policy's directory, which is always inside settings.MODELS_DIR. Raises BadPolicy."""
    return _inside_models(settings.MODELS_DIR / policy.directory)


def served(policy: Policy) -> dict[str, Any] | None:
    """Of the file that answers people: its `type`, and measured when it was made, `kl_nats` and `same_token`.

    None for a directory that is gone or from before this was measured: its file has the weights as they are.
    """
    try:
        return _read_json(directory(policy) / SERVED)
    except BadPolicy:
        return None


def verify(path: Path) -> str:
    """Checks the directory against its manifest and returns the manifest's sha256. Raises BadPolicy."""
    manifest = read_manifest(path)
    found = {entry.name for entry in path.iterdir()} - {MANIFEST}
    if found != set(manifest):
        raise BadPolicy(f"{path}: files and manifest differ: {sorted(found ^ set(manifest))}")
    for name, wanted in manifest.items():
        _verify_file(path / name, wanted)
    config = _read_json(path / "config.json") if "config.json" in manifest else {}
    if "auto_map" in config:
        raise BadPolicy(f"{path}: config.json asks for code of its own (auto_map)")
    return hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()


def all_finite(path: Path) -> bool:
    """Whether no tensor of the directory's safetensors holds a NaN or an infinity. Raises BadPolicy."""
    return not nonfinite_tensors(path)


def nonfinite_tensors(path: Path) -> list[str]:
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise BadPolicy(f"{path}: contains no safetensors file")
    return [name for file in files for name in _nonfinite_in(file)]


def register(
    path: Path, *, name: str, source: str, base: Policy | None = None, made_from_simulated: bool = False
) -> Policy:
    """Adds a verified directory under settings.MODELS_DIR as the next version, without making it live."""
    path = _inside_models(path)
    manifest_sha256 = verify(path)
    with transaction.atomic():
        newest = Policy.objects.aggregate(newest=Max("version"))["newest"] or 0
        return Policy.objects.create(
            name=name,
            version=newest + 1,
            directory=str(path.relative_to(settings.MODELS_DIR.resolve())),
            manifest_sha256=manifest_sha256,
            source=source,
            base=base,
            made_from_simulated=made_from_simulated,
        )


def context_tokens(path: Path) -> int:
    """Tokens that a prompt and its completion may have together: the setting, or less if the model has less."""
    config = _read_json(path / "config.json")
    positions = config.get("max_position_embeddings")
    limit: int = settings.CHAT_CONTEXT_TOKENS
    return min(limit, positions) if isinstance(positions, int) and positions > 0 else limit


def _inside_models(path: Path) -> Path:
    root = settings.MODELS_DIR.resolve()
    resolved = path.resolve()
    if resolved == root or not resolved.is_relative_to(root):
        raise BadPolicy(f"{path} is not in {root}")
    return resolved


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadPolicy(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise BadPolicy(f"{path}: not a JSON object")
    return value


def read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    manifest = _read_json(path / MANIFEST)
    files = manifest.get("files")
    if manifest.get("format") != 1 or not isinstance(files, dict):
        raise BadPolicy(f"{path}: the manifest is not of format 1")
    for name, wanted in files.items():
        if Path(name).name != name or not isinstance(wanted, dict):
            raise BadPolicy(f"{path}: the manifest names {name!r}")
        if Path(name).suffix.lower() in FORBIDDEN_SUFFIXES:
            raise BadPolicy(f"{path}: {name} could run code")
    return files


def _verify_file(path: Path, wanted: dict[str, Any]) -> None:
    if path.is_symlink() or not path.is_file():
        raise BadPolicy(f"{path}: not a plain file")
    if path.stat().st_size != wanted.get("bytes"):
        raise BadPolicy(f"{path}: {path.stat().st_size} bytes, the manifest says {wanted.get('bytes')}")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != wanted.get("sha256"):
        raise BadPolicy(f"{path}: its content differs from the manifest's hash")


# --- safetensors ----------------------------------------------------------------------------------------------

_EXPONENTS = {"BF16": 0x7F80, "F16": 0x7C00}
"""Exponent bits of the 16-bit formats: all set means NaN or infinity. numpy has no bfloat16."""
_FLOATS: dict[str, Any] = {"F32": np.float32, "F64": np.float64}


def _nonfinite_in(file: Path) -> list[str]:
    """Names of the tensors with a value that is not finite."""
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if size > file.stat().st_size - 8:
            raise BadPolicy(f"{file}: its header is longer than the file")
        try:
            header = json.loads(stream.read(size))
        except (ValueError, RecursionError) as error:
            raise BadPolicy(f"{file}: {error}") from error
    if not isinstance(header, dict):
        raise BadPolicy(f"{file}: its header is not a JSON object")
    header.pop("__metadata__", None)
    data = np.memmap(file, np.uint8, "r", 8 + size) if file.stat().st_size > 8 + size else np.empty(0, np.uint8)
    return [name for name, tensor in header.items() if not _is_finite(file, data, name, tensor)]


def _is_finite(file: Path, data: Any, name: str, tensor: dict[str, Any]) -> bool:
    try:
        kind, (start, end) = tensor["dtype"], tensor["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise BadPolicy(f"{file}: bad entry of {name}") from error
    if not 0 <= start <= end <= data.size:
        raise BadPolicy(f"{file}: {name} is outside of the file")
    if kind in _EXPONENTS:
        bits, mask = data[start:end].view(np.uint16), _EXPONENTS[kind]
        return not bool(np.any((bits & mask) == mask))
    if kind in _FLOATS:
        return bool(np.all(np.isfinite(data[start:end].view(_FLOATS[kind]))))
    return True
