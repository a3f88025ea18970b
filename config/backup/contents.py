"""What a backup holds: the database, the folders of the state, the keys, and a list of files with hashes."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from django.conf import settings

from config.backup.errors import BackupDamaged

FOLDERS = {"models": "MODELS_DIR", "runs": "RUNS_DIR", "uploads": "UPLOADS_DIR"}
LIST, KEYS, HEADS = "files.json", "keys.json", "audit_heads"
DRAFT = "tmp-"
"""How unfinished directories begin; nobody's row names one."""
BLOCK = 1024 * 1024
Told = Callable[[int], None]
"""Is told how many bytes were just read."""


class _Hashing:
    """A file that hashes what is read of it."""

    def __init__(self, file: IO[bytes], told: Told) -> None:
        self.file, self.sha256, self.told = file, hashlib.sha256(), told

    def read(self, size: int = -1) -> bytes:
        block = self.file.read(size)
        self.sha256.update(block)
        self.told(len(block))
        return block


def link_state(target: Path) -> None:
    """Hard links to all finished files of the folders; called again, to those that came since. What is linked stays,
    whatever the site removes meanwhile."""
    for name, setting in FOLDERS.items():
        root = Path(getattr(settings, setting))
        for path in _files_below(root):
            _link(path, target / name / path.relative_to(root))


def _files_below(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(DRAFT)]
        yield from (Path(folder) / name for name in names if not name.startswith(DRAFT) and name != "lock")


def _link(path: Path, target: Path) -> None:
    if target.exists() or path.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # removed since it was listed: no row names it any more
        try:
            os.link(path, target)
        except OSError:  # another disk, or one without links
            shutil.copy2(path, target)


def pack(folder: Path, into: IO[bytes], facts: Mapping[str, Any], told: Told) -> dict[str, str]:
    """Writes all files of the folder as a tar, and at its end their list with `facts`. Returns {name: sha256}."""
    hashes = {}
    with tarfile.open(fileobj=into, mode="w|", bufsize=BLOCK) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            hashes[name] = _add(archive, path, name, told)
        _add_text(archive, LIST, json.dumps({**facts, "files": hashes}))
    return hashes


def _add(archive: tarfile.TarFile, path: Path, name: str, told: Told) -> str:
    with path.open("rb") as file:
        entry = archive.gettarinfo(str(path), arcname=name, fileobj=file)
        entry.type, entry.linkname = tarfile.REGTYPE, ""  # a second link to a file is a file here
        entry.size = os.fstat(file.fileno()).st_size
        entry.uname = entry.gname = ""
        reader = _Hashing(file, told)
        archive.addfile(entry, reader)
    return reader.sha256.hexdigest()


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    archive.addfile(entry, io.BytesIO(text.encode()))


def unpack(source: IO[bytes], folder: Path | None, told: Told) -> dict[str, Any]:
    """The list at the end, once every file was held against it; the files lie in `folder` where one is given.

    Raises BackupDamaged, WrongPassphrase.
    """
    hashes, found = {}, None
    try:
        with tarfile.open(fileobj=source, mode="r|", bufsize=BLOCK) as archive:
            for entry in archive:
                if entry.name == LIST:
                    found = json.loads(_content(archive, entry).read())
                elif entry.isfile():
                    hashes[entry.name] = _take(archive, entry, folder, told)
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise BackupDamaged(str(error)) from None
    if found is None or found["files"] != hashes:
        raise BackupDamaged("its files are not those of its list")
    return dict(found)


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(entry)
    assert content is not None  # it is a file
    return content


def _take(archive: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path | None, told: Told) -> str:
    reader = _Hashing(_content(archive, entry), told)
    with contextlib.ExitStack() as opened:
        target = opened.enter_context(_new_file(folder, entry)) if folder else None
        while block := reader.read(BLOCK):
            if target:
                target.write(block)
    return reader.sha256.hexdigest()


def _new_file(folder: Path, entry: tarfile.TarInfo) -> IO[bytes]:
    path = (folder / entry.name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise BackupDamaged(f"{entry.name!r} leads out of it")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = path.open("xb")
    os.chmod(path, 0o600 | entry.mode & 0o100)
    return file
