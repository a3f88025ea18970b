"""Streams a model directory as a zip archive, without writing the archive to disk or holding it in memory."""

from collections.abc import AsyncGenerator, Iterator
from io import RawIOBase
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from asgiref.sync import sync_to_async

BLOCK = 2**20
LEFT_OUT = (".gguf",)
"""Only this site's own engine reads GGUF; everybody else reads the safetensors."""


class ZipBuffer(RawIOBase):
    """Buffers what the archive writes until it is fetched. It cannot seek, which zipfile copes with."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.parts.append(bytes(data))
        return len(self.parts[-1])

    def fetch(self) -> bytes:
        fetched, self.parts = b"".join(self.parts), []
        return fetched


async def stream_zip(directory: Path, name: str) -> AsyncGenerator[bytes, None]:
    """The archive holds one folder, `name`."""
    blocks = _blocks(directory, name)
    while (block := await sync_to_async(_next_block)(blocks)) is not None:
        yield block


def _next_block(blocks: Iterator[bytes]) -> bytes | None:
    return next(blocks, None)


def _blocks(directory: Path, name: str) -> Iterator[bytes]:
    buffer = ZipBuffer()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for file in sorted(directory.iterdir()):
            if file.suffix in LEFT_OUT or not file.is_file():
                continue
            entry = ZipInfo(f"{name}/{file.name}", date_time=(2026, 1, 1, 0, 0, 0))
            entry.file_size = file.stat().st_size
            with archive.open(entry, "w", force_zip64=True) as target, file.open("rb") as source:
                while block := source.read(BLOCK):
                    target.write(block)
                    yield buffer.fetch()
    yield buffer.fetch()
