"""State that hosts share: finished directories and files, published to the storage "shared" and pulled on first use.

Without CHAMSAE_SHARED_STATE there is no such storage: the folders themselves are the state, and nothing here does
anything. With it, each host keeps copies under the same folders. Rows of the database say what there is; the storage
holds `content/KEY/GENERATION/NAME` and, written last and deleted last, `index/KEY.json` (base.shared_index), where
the key is a path such as `models/run-5`.
"""

import hashlib
import logging
import math
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.files.base import ContentFile, File

from base import shared_storage
from base.host_lock import if_free, only_one
from base.shared_index import BadIndex, PublishedFile, PublishedIndex
from base.state_errors import StateAway, StateDamaged, StateMissing

MANIFEST = "manifest.json"
DRAFT = "tmp-pull-"
FOLDERS = {"models": "MODELS_DIR", "runs": "RUNS_DIR", "uploads": "UPLOADS_DIR"}
GENERATION = re.compile("[0-9a-f]{20}")
log = logging.getLogger(__name__)


def is_on() -> bool:
    return shared_storage.is_set()


def key_of(path: Path) -> str:
    """Raises ValueError where the path is in none of the folders."""
    resolved = path.resolve()
    for name, setting in FOLDERS.items():
        root = Path(getattr(settings, setting)).resolve()
        if resolved != root and resolved.is_relative_to(root):
            return f"{name}/{resolved.relative_to(root).as_posix()}"
    raise ValueError(f"{path} is in no folder of the state")


def path_of(key: str) -> Path:
    """Raises ValueError where the key names no folder of the state."""
    folder, _slash, rest = key.partition("/")
    if folder not in FOLDERS or not rest:
        raise ValueError(f"{key!r} names nothing in {', '.join(FOLDERS)}")
    path = Path(getattr(settings, FOLDERS[folder])) / rest
    key_of(path)
    return path


def publish(path: Path, *, again: bool = False) -> None:
    """Uploads a finished directory or file, its index last. Content that is there already, by its names and sizes, is
    not uploaded anew unless `again`, but counts as published now. Raises StateAway, OSError."""
    if not is_on():
        return
    key, index, replaces = key_of(path), PublishedIndex.of(path), again or is_stored(path)
    if again or not _has(path, index):
        for name in index.files:
            with (path if index.is_file else path / name).open("rb") as content:
                shared_storage.save(_object(key, index, name), File(content))
    shared_storage.save(_index_object(key), ContentFile(index.text().encode()))
    if replaces:
        _delete_generations(key, but=index.generation)


def _has(path: Path, index: PublishedIndex) -> bool:
    """Whether the storage has all that the index names. A removal that broke off leaves the index alone."""
    try:
        return published(path) == index and not any(problems(path))
    except StateDamaged:
        return False


def pull(path: Path, *, manifest_sha256: str = "") -> Path:
    """The path, with the directory or file there: its copy is fetched where it is not. One process of a host fetches,
    the others wait. `manifest_sha256`: of the directory's own manifest; a copy with another one is replaced.

    Raises StateMissing, StateDamaged, StateAway, OSError; then nothing is left of the attempt.
    """
    if not is_on() or _is_here(path, manifest_sha256):
        return path
    key = key_of(path)
    with only_one(key):
        if not _is_here(path, manifest_sha256):
            index = _index_with(key, manifest_sha256)
            _fetch(key, index, list(index.files), path)
    return path


def pull_part(path: Path, names: tuple[str, ...], *, manifest_sha256: str = "") -> Path:
    """A directory with some files of a published directory, as far as it has them: the directory itself where it is
    here, else one beside the state, for which the storage is asked once. Raises as `pull` does."""
    if not is_on() or _is_here(path, manifest_sha256):
        return path
    key = key_of(path)
    part = _parts_of(key) / (manifest_sha256 or "any")
    if part.exists():
        return part
    with only_one(f"parts/{key}"):
        if not part.exists():
            index = _index_with(key, manifest_sha256)
            _discard(part.parent)  # with another manifest
            _fetch(key, index, [name for name in names if name in index.files], part)
    return part


def read(path: Path, name: str = "") -> bytes:
    """A small file: `name` in the directory `path`, or `path` itself; from here, else from the storage without
    keeping it. What a directory that is here lacks was never published. Raises StateMissing, StateDamaged, StateAway,
    OSError."""
    if not is_on() or path.exists():
        return (path / name if name else path).read_bytes()
    key = key_of(path)
    index = _index(key)
    name = name or path.name
    if name not in index.files:
        raise StateMissing(f"{key}/{name}")
    return b"".join(_checked_blocks(key, index, name))


def size(path: Path, name: str) -> int:
    """Bytes of a file in a directory that need not be on this host. Raises as `read` does."""
    if not is_on() or path.exists():
        return (path / name).stat().st_size
    key = key_of(path)
    index = _index(key)
    if name not in index.files:
        raise StateMissing(f"{key}/{name}")
    return index.files[name].bytes


def exists(path: Path) -> bool:
    """Here or in the storage. Raises StateDamaged, StateAway."""
    return path.exists() or (is_on() and _index_or_none(key_of(path)) is not None)


def is_stored(path: Path) -> bool:
    """Whether the storage has something of it to be removed, also where its index can't be read. Raises StateAway."""
    if not is_on():
        return False
    try:
        shared_storage.size(_index_object(key_of(path)))
    except FileNotFoundError:
        return False
    return True


def published(path: Path) -> PublishedIndex | None:
    """What the storage holds of it; None where that is nothing. Raises StateDamaged, StateAway."""
    return _index_or_none(key_of(path)) if is_on() else None


def problems(path: Path) -> Iterator[str]:
    """What of a published directory or file is missing in the storage, or has another size than was published. Pulls
    hold the content itself against its hashes. Raises StateDamaged, StateAway."""
    index = published(path)
    if index is None:
        return
    key = key_of(path)
    for name, wanted in index.files.items():
        try:
            found = f"{shared_storage.size(_object(key, index, name))} bytes"
        except FileNotFoundError:
            found = "nothing"
        if found != f"{wanted.bytes} bytes":
            yield f"{key}: of {name}, the shared state has {found}: manage.py publish_state --again {key}"


def content_problems(path: Path) -> Iterator[str]:
    """As `problems`, by reading all that the list names, without keeping it. Raises StateDamaged, StateAway."""
    index = published(path)
    if index is None:
        return
    key = key_of(path)
    for name in index.files:
        try:
            deque(_checked_blocks(key, index, name), maxlen=0)
        except StateDamaged as error:
            yield str(error)


def stored_in(folder: Path) -> Iterator[Path]:
    """What the storage has right under a folder of the state, also what was published or removed by halves. Raises
    StateAway."""
    if not is_on():
        return
    place = _place_of(folder)
    names = {name.removesuffix(".json") for name in shared_storage.listed(f"index/{place}")[1]}
    for name in sorted(names.union(shared_storage.listed(f"content/{place}")[0])):
        yield folder / name


def stored_for_s(path: Path) -> float:
    """How long ago it was published, or the last file of what was published by halves; minus infinity where there is
    no file at all, as in the empty folders that removals leave. Raises StateAway."""
    key = key_of(path)
    try:
        stored_at = shared_storage.saved_at(_index_object(key))
    except FileNotFoundError:
        found = [shared_storage.saved_at(name) for name in shared_storage.everything_under(f"content/{key}")]
        stored_at = max(found, default=math.inf)
    return time.time() - stored_at


def remove(path: Path) -> None:
    """From here and from the storage. Where the storage is away, what it has stays until tidying finds that the rows
    no longer name it (settings.HOST_TIDYING), as other hosts' copies do: nothing that removes fails by this."""
    _discard(path)
    if not is_on():
        return
    key = key_of(path)
    remove_part(path)
    try:
        _delete_generations(key)
        shared_storage.delete(_index_object(key))  # last, so that what is half removed is still found
    except StateAway as error:
        log.warning("%s stays in the shared state for now: %s", key, error)


def remove_part(path: Path) -> None:
    """What `pull_part` made of it on this host."""
    _discard(_parts_of(key_of(path)))


def hand_over(path: Path) -> None:
    """Publishes a file and keeps no copy here: for files with people's words, which are then in one place. Without a
    storage it stays where it is."""
    if is_on():
        publish(path)
        _discard(path)


def remove_drafts(folder: Path) -> None:
    """What pulls that were killed left in a folder of the state; a pull under way keeps its own."""
    for draft in folder.glob(f"{DRAFT}*"):
        with if_free(key_of(draft.with_name(draft.name.removeprefix(DRAFT)))) as is_free:
            if is_free:
                _discard(draft)


def _is_here(path: Path, manifest_sha256: str) -> bool:
    if not manifest_sha256:
        return path.exists()
    try:
        return hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest() == manifest_sha256
    except OSError:
        return False


def _fetch(key: str, index: PublishedIndex, names: list[str], path: Path) -> None:
    """Beside its place first; it gets its name when everything is there. The caller holds the key."""
    draft = path.with_name(DRAFT + path.name)
    _discard(draft)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not index.is_file:
            draft.mkdir(mode=0o700)
        for name in names:
            _write(draft if index.is_file else draft / name, _checked_blocks(key, index, name))
        _discard(path)
        os.replace(draft, path)
    finally:
        _discard(draft)


def _write(file: Path, blocks: Iterator[bytes]) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.open("xb") as target:
        for block in blocks:
            target.write(block)
        target.flush()
        os.fsync(target.fileno())


def _checked_blocks(key: str, index: PublishedIndex, name: str) -> Iterator[bytes]:
    """The last block comes before the check of the whole: nobody may use them unless this ends without an error."""
    wanted, digest, size = index.files[name], hashlib.sha256(), 0
    try:
        for block in shared_storage.blocks(_object(key, index, name)):
            digest.update(block)
            size += len(block)
            yield block
            if size > wanted.bytes:
                break
    except FileNotFoundError as error:
        raise StateDamaged(key, name) from error
    if PublishedFile(size, digest.hexdigest()) != wanted:
        raise StateDamaged(key, name)


def _index(key: str) -> PublishedIndex:
    found = _index_or_none(key)
    if found is None:
        raise StateMissing(key)
    return found


def _index_with(key: str, manifest_sha256: str) -> PublishedIndex:
    """Raises StateDamaged where the directory was published with another manifest."""
    index = _index(key)
    if manifest_sha256 and _sha256_of(index, MANIFEST) != manifest_sha256:
        raise StateDamaged(key, MANIFEST)
    return index


def _index_or_none(key: str) -> PublishedIndex | None:
    try:
        return PublishedIndex.parse(shared_storage.read(_index_object(key)))
    except FileNotFoundError:
        return None
    except BadIndex as error:
        raise StateDamaged(key, _index_object(key)) from error


def _sha256_of(index: PublishedIndex, name: str) -> str:
    return index.files[name].sha256 if name in index.files else ""


def _object(key: str, index: PublishedIndex, name: str) -> str:
    return f"content/{key}/{index.generation}/{name}"


def _index_object(key: str) -> str:
    return f"index/{key}.json"


def _place_of(folder: Path) -> str:
    """`models`, `runs/snapshots`: as keys begin."""
    roots = {Path(getattr(settings, setting)): name for name, setting in FOLDERS.items()}
    return roots.get(folder) or key_of(folder)


def _delete_generations(key: str, *, but: str = "") -> None:
    """By what the storage lists, so that nothing is left of uploads and removals that broke off."""
    for generation in shared_storage.listed(f"content/{key}")[0]:
        if generation != but and GENERATION.fullmatch(generation):
            for name in shared_storage.everything_under(f"content/{key}/{generation}"):
                shared_storage.delete(name)


def _parts_of(key: str) -> Path:
    return Path(settings.HOME) / "parts" / key.replace("/", "_")


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
