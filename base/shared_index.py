"""The list of what was published of one directory or file: names, sizes and hashes, as it stands in the storage."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

FORMAT = 1
BLOCK = 1 << 22


class BadIndex(ValueError):
    """It is not a list that `PublishedIndex.text` wrote."""


@dataclass(frozen=True)
class PublishedFile:
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PublishedIndex:
    files: dict[str, PublishedFile]
    """By name relative to the directory, with slashes; of a file alone, by its own name."""
    is_file: bool

    @property
    def generation(self) -> str:
        """A name for exactly this content: what is published anew never mixes with what it replaces."""
        return hashlib.sha256(self.text().encode()).hexdigest()[:20]

    def text(self) -> str:
        files = {name: {"bytes": entry.bytes, "sha256": entry.sha256} for name, entry in sorted(self.files.items())}
        return json.dumps({"format": FORMAT, "kind": "file" if self.is_file else "directory", "files": files})

    @classmethod
    def parse(cls, text: bytes) -> "PublishedIndex":
        """Raises BadIndex, also where a name leads out of the directory."""
        try:
            told = json.loads(text)
            files = {
                str(name): PublishedFile(int(one["bytes"]), str(one["sha256"])) for name, one in told["files"].items()
            }
            known, is_file = told["format"] == FORMAT, {"file": True, "directory": False}[told["kind"]]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BadIndex(str(error)) from error
        if not known or not files or not all(_stays_inside(name) for name in files) or (is_file and len(files) != 1):
            raise BadIndex("its format or its names")
        return cls(files, is_file)

    @classmethod
    def of(cls, path: Path) -> "PublishedIndex":
        """Of what stands there now. Raises OSError."""
        if path.is_file():
            return cls({path.name: _entry(path)}, is_file=True)
        if not path.is_dir():
            raise FileNotFoundError(str(path))
        found = sorted(file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
        return cls({file.relative_to(path).as_posix(): _entry(file) for file in found}, is_file=False)


def _entry(file: Path) -> PublishedFile:
    with file.open("rb") as content:
        return PublishedFile(file.stat().st_size, hashlib.file_digest(content, "sha256").hexdigest())


def _stays_inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    is_plain = "\\" not in name and "\0" not in name and PurePosixPath(name).as_posix() == name
    return bool(parts) and is_plain and not PurePosixPath(name).is_absolute() and ".." not in parts
