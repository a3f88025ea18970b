"""Policies on disk and in the database: which one is live, who may use which, and whether its files are intact."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Max, Q, QuerySet

from accounts.models import User
from accounts.roles import Role
from base import shared_state
from base.state_errors import StateAway, StateDamaged
from chat.errors import BadPolicy, NoLivePolicy, PolicyAway
from chat.models import Policy

MANIFEST = "manifest.json"
SERVED = "served.json"
ADAPTER = "adapter"
"""The only folder that a policy directory may hold: PEFT's form of what changed its base."""
WORDS = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
"""What a prompt is made and measured with."""
T = TypeVar("T")
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


def fetched(policy: Policy) -> Path:
    """The policy's directory, brought to this host where hosts share state. Raises PolicyAway, and BadPolicy, also
    where what is shared has another manifest than the one that was registered."""
    return _brought(partial(shared_state.pull, directory(policy), manifest_sha256=policy.manifest_sha256))


def words(policy: Policy) -> Path:
    """A directory with the policy's configuration, tokenizer and template; the weights need not be on this host.
    Raises BadPolicy, PolicyAway."""
    pull = partial(shared_state.pull_part, directory(policy), WORDS, manifest_sha256=policy.manifest_sha256)
    return _brought(pull)


def has_files(policy: Policy) -> bool:
    """On this host or where it would be fetched from. Raises BadPolicy, PolicyAway."""
    path = directory(policy)
    return path.is_dir() or _brought(partial(shared_state.exists, path))


def holds(policy: Policy, name: str) -> bool:
    """Whether its directory has this file, on this host or where it would be fetched from. Raises BadPolicy,
    PolicyAway."""
    path = directory(policy)
    if path.is_dir():
        return (path / name).is_file()
    index = _brought(partial(shared_state.published, path))
    return index is not None and name in index.files


def has_weights(policy: Policy) -> bool:
    """Exact ones, in safetensors; on this host or where it would be fetched from. Raises BadPolicy, PolicyAway."""
    path = directory(policy)
    if path.is_dir():
        return any(path.glob("*.safetensors"))
    index = _brought(partial(shared_state.published, path))
    return index is not None and any(name.endswith(".safetensors") for name in index.files)


def size_bytes(policy: Policy) -> int:
    """Of its files, as its manifest has them; they need not be on this host. Raises BadPolicy."""
    path = directory(policy)
    try:
        return sum(int(wanted["bytes"]) for wanted in read_manifest(path).values())
    except (KeyError, TypeError, ValueError) as error:
        raise BadPolicy(f"{path}: the manifest tells no sizes: {error}") from error


def _brought(bring: Callable[[], T]) -> T:
    try:
        return bring()
    except (FileNotFoundError, NotADirectoryError, StateDamaged) as error:
        raise BadPolicy(str(error)) from error
    except OSError as error:  # the storage is away, or this host's disk is full
        raise PolicyAway(str(error)) from error


def served(policy: Policy) -> dict[str, Any] | None:
    """Of the file that answers people: its `type`, and measured when it was made, `kl_nats` and `same_token`.

    None for a directory that is gone or from before this was measured: its file has the weights as they are. Raises
    PolicyAway.
    """
    try:
        return _read_json(directory(policy), SERVED)
    except PolicyAway:
        raise
    except BadPolicy:
        return None


@dataclass(frozen=True)
class AdapterFacts:
    """Of the adapter in a policy's directory."""

    base: str
    """Directory name of the policy that it changes."""
    rank: int
    layers: list[int]
    size_bytes: int
    """Of its weights."""

    @property
    def first_layer(self) -> int:
        return min(self.layers)

    @property
    def last_layer(self) -> int:
        return max(self.layers)


def adapter(policy: Policy) -> AdapterFacts | None:
    """None of a policy without one, and of one whose directory is gone. Raises PolicyAway: who took that for no
    adapter would train on other weights, or remove those that it changes."""
    try:
        path = directory(policy)
        config = _read_json(path, f"{ADAPTER}/adapter_config.json")
        about = _read_json(path, f"{ADAPTER}/base.json")
        size = _brought(partial(shared_state.size, path, f"{ADAPTER}/adapter_model.safetensors"))
        return AdapterFacts(str(about["base"]), int(config["r"]), list(config["layers_to_transform"]), size)
    except PolicyAway:
        raise
    except (BadPolicy, OSError, KeyError, TypeError, ValueError):
        return None


def verify(path: Path) -> str:
    """Checks the directory against its manifest and returns the manifest's sha256. Raises BadPolicy."""
    manifest = read_manifest(path)
    found = {entry.relative_to(path).as_posix() for entry in _entries(path)} - {MANIFEST}
    if found != set(manifest):
        raise BadPolicy(f"{path}: files and manifest differ: {sorted(found ^ set(manifest))}")
    for name, wanted in manifest.items():
        _verify_file(path / name, wanted)
    config = _read_json(path, "config.json") if "config.json" in manifest else {}
    if "auto_map" in config:
        raise BadPolicy(f"{path}: config.json asks for code of its own (auto_map)")
    return hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()


def verify_adapter(policy: Policy) -> None:
    """Checks the adapter alone against the manifest that was registered, without the weights. Raises BadPolicy."""
    path = directory(policy)
    manifest = read_manifest(path)
    if (
        policy.manifest_sha256
        and hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest() != policy.manifest_sha256
    ):
        raise BadPolicy(f"{policy.name}: its manifest is not the one that was registered")
    wanted = {name for name in manifest if name.startswith(f"{ADAPTER}/")}
    found = {entry.relative_to(path).as_posix() for entry in (path / ADAPTER).iterdir()}
    if not wanted or found != wanted:
        raise BadPolicy(f"{path}: the adapter's files and the manifest differ: {sorted(found ^ wanted)}")
    for name in wanted:
        _verify_file(path / name, manifest[name])


def _entries(path: Path) -> Iterator[Path]:
    """What stands in the directory, and in the folder of its adapter."""
    for entry in path.iterdir():
        if entry.name == ADAPTER and entry.is_dir() and not entry.is_symlink():
            yield from entry.iterdir()
        else:
            yield entry


def all_finite(path: Path) -> bool:
    """Whether no tensor of the directory's safetensors holds a NaN or an infinity. Raises BadPolicy."""
    return not nonfinite_tensors(path)


def nonfinite_tensors(path: Path) -> list[str]:
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise BadPolicy(f"{path}: contains no safetensors file")
    files += sorted((path / ADAPTER).glob("*.safetensors"))
    return [name for file in files for name in _nonfinite_in(file)]


def register(
    path: Path,
    *,
    name: str,
    source: str,
    base: Policy | None = None,
    made_from_simulated: bool = False,
    languages: Sequence[str] = (),
    owner: User | None = None,
    group: Group | None = None,
    label: str = "",
) -> Policy:
    """Adds a verified directory under settings.MODELS_DIR as the next version, without making it live.

    One that was trained from a base speaks what its base speaks. Other hosts have it before they read its row.
    """
    path = _inside_models(path)
    manifest_sha256 = verify(path)
    shared_state.publish(path)
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
            languages=list(base.languages if base is not None else languages),
            owner=owner,
            group=group,
            label=label,
        )


def remove_retired(older_than_s: float = 3600.0) -> None:
    """Removes this host's copies of retired policies, what broken fetches left, and what the shared state still has
    of them: it was away when they were retired."""
    retired = {policy.directory: policy for policy in Policy.objects.exclude(retired_at=None).exclude(directory="")}
    for policy in retired.values():
        path = directory(policy)
        shared_state.remove_part(path)
        if path.is_dir() and policy.retired_at and _is_left_over(path, policy.retired_at, older_than_s):
            shutil.rmtree(path, ignore_errors=True)
    shared_state.remove_drafts(Path(settings.MODELS_DIR))
    # One that is being fetched anew is published before its row says so.
    for path in shared_state.stored_in(Path(settings.MODELS_DIR)):
        if path.name in retired and shared_state.stored_for_s(path) > older_than_s:
            shared_state.remove(path)


def _is_left_over(path: Path, retired_at: datetime, older_than_s: float) -> bool:
    """Made before its policy was retired, or by a fetch that was under way then. One that is being fetched anew gets
    its row back last."""
    made_at = path.stat().st_mtime
    return made_at < retired_at.timestamp() or time.time() - made_at > older_than_s


def context_tokens(path: Path) -> int:
    """Tokens that a prompt and its completion may have together: the setting, or less if the model has less."""
    config = _read_json(path, "config.json")
    positions = config.get("max_position_embeddings")
    limit: int = settings.CHAT_CONTEXT_TOKENS
    return min(limit, positions) if isinstance(positions, int) and positions > 0 else limit


def _inside_models(path: Path) -> Path:
    root = settings.MODELS_DIR.resolve()
    resolved = path.resolve()
    if resolved == root or not resolved.is_relative_to(root):
        raise BadPolicy(f"{path} is not in {root}")
    return resolved


def configuration(policy: Policy) -> dict[str, Any]:
    """Its config.json. Raises BadPolicy."""
    return _read_json(directory(policy), "config.json")


def _read_json(path: Path, name: str) -> dict[str, Any]:
    """Of a small file in a directory that need not be on this host. Raises BadPolicy, PolicyAway."""
    try:
        value = json.loads(shared_state.read(path, name).decode())
    except StateAway as error:
        raise PolicyAway(str(error)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadPolicy(f"{path / name}: {error}") from error
    if not isinstance(value, dict):
        raise BadPolicy(f"{path / name}: not a JSON object")
    return value


def read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    manifest = _read_json(path, MANIFEST)
    files = manifest.get("files")
    if manifest.get("format") != 1 or not isinstance(files, dict):
        raise BadPolicy(f"{path}: the manifest is not of format 1")
    for name, wanted in files.items():
        if not _is_listable(name) or not isinstance(wanted, dict):
            raise BadPolicy(f"{path}: the manifest names {name!r}")
        if Path(name).suffix.lower() in FORBIDDEN_SUFFIXES:
            raise BadPolicy(f"{path}: {name} could run code")
    return files


def _is_listable(name: str) -> bool:
    """A file of the directory itself or of its adapter's folder."""
    file = name.removeprefix(f"{ADAPTER}/")
    return bool(file) and Path(file).name == file


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
