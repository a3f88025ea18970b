"""A model as a zip that is made while it is sent: nothing of it is held in memory or written to the disk."""

from collections.abc import AsyncGenerator, Iterator
from io import RawIOBase
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from asgiref.sync import sync_to_async

BLOCK = 2**20
LEFT_OUT = (".gguf",)
"""What this site's own engine reads; everybody else reads the safetensors."""


class Pipe(RawIOBase):
    """Takes what the archive writes until somebody fetches it. It cannot go back, which zipfile can live with."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.parts.append(bytes(data))
        return len(self.parts[-1])

    def fetch(self) -> bytes:
        taken, self.parts = b"".join(self.parts), []
        return taken


async def zipped(directory: Path, name: str) -> AsyncGenerator[bytes, None]:
    """The folder under its name."""
    pieces = _blocks(directory, name)
    while (piece := await sync_to_async(_following)(pieces)) is not None:
        yield piece


def _following(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)


def _blocks(directory: Path, name: str) -> Iterator[bytes]:
    pipe = Pipe()
    with ZipFile(pipe, "w", ZIP_STORED) as archive:
        for file in sorted(directory.iterdir()):
            if file.suffix in LEFT_OUT or not file.is_file():
                continue
            entry = ZipInfo(f"{name}/{file.name}", date_time=(2026, 1, 1, 0, 0, 0))
            entry.file_size = file.stat().st_size
            with archive.open(entry, "w", force_zip64=True) as target, file.open("rb") as source:
                while block := source.read(BLOCK):
                    target.write(block)
                    yield pipe.fetch()
    yield pipe.fetch()
