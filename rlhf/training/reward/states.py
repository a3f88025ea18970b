"""Trunk states on disk: computed once, resumed after a stop, read reply by reply, each prompt stored once."""

import hashlib
import os
import shutil
import weakref
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlhf.training import processes
from rlhf.training.model.decoder import Decoder
from rlhf.training.reward.features import EncodedReply, by_length, pad
from rlhf.training.reward.model import BATCH_TOKENS, Poll

CHECKSUM = 4
"""Bytes of one."""

Offsets = npt.NDArray[np.int64]


@dataclass
class NoRoomForStates(Exception):
    """The disk is too small for the trunk states of these replies."""

    directory: Path
    needed_mb: int
    free_mb: int

    def __str__(self) -> str:
        return (
            f"the trunk states need {self.needed_mb:,} MB in {self.directory}, where {self.free_mb:,} MB are free; "
            "make room, or train on fewer judgements"
        )


@dataclass(frozen=True)
class Layout:
    """Where each of N rows stands in the file, in tokens; N arrays of the prompt's part and of the completion's."""

    batches: list[list[int]]
    prompt_starts: Offsets
    prompt_lengths: Offsets
    starts: Offsets
    lengths: Offsets
    owners: frozenset[int]
    """Rows whose batch writes their prompt; the others with that prompt read it there."""
    ends: list[int]
    """Tokens in the file after each batch."""

    @classmethod
    def of(cls, rows: Sequence[EncodedReply]) -> "Layout":
        table = np.zeros((4, len(rows)), dtype=np.int64)
        table[1] = [row.prompt_length for row in rows]
        table[3] = [row.length - row.prompt_length for row in rows]
        batches, first, ends, at = list(by_length(rows, BATCH_TOKENS)), dict[bytes, int](), [], 0
        for batch in batches:
            for item in batch:
                owner = first.setdefault(_digest(rows[item].ids[: rows[item].prompt_length]), item)
                if owner == item:
                    table[0, item], at = at, at + rows[item].prompt_length
                table[0, item] = table[0, owner]
                table[2, item], at = at, at + table[3, item]
            ends.append(int(at))
        return cls(batches, table[0], table[1], table[2], table[3], frozenset(first.values()), ends)

    @property
    def tokens(self) -> int:
        return self.ends[-1] if self.ends else 0


@dataclass(frozen=True)
class Shape:
    """Of one token's states."""

    width: int
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """Bytes."""
        return self.width * self.dtype.itemsize


class StatesOnDisk:
    """Reads with pread, not by a memory map, whose pages would count as this process's memory."""

    def __init__(self, path: Path, layout: Layout, shape: Shape) -> None:
        self.layout, self.shape = layout, shape
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return len(self.layout.starts)

    def __getitem__(self, item: int, /) -> Tensor:
        """[T, D] in fp32: the prompt's states, then the completion's."""
        layout = self.layout
        prompt = self._read(layout.prompt_starts[item], layout.prompt_lengths[item])
        return torch.cat([prompt, self._read(layout.starts[item], layout.lengths[item])]).float()

    def _read(self, start: int, tokens: int) -> Tensor:
        buffer = bytearray(int(tokens) * self.shape.size)
        if not buffer:
            return torch.empty(0, self.shape.width, dtype=self.shape.dtype)
        if os.preadv(self._file, [buffer], int(start) * self.shape.size) != len(buffer):
            raise EOFError(f"the states of reply {start} were cut off")
        return torch.frombuffer(buffer, dtype=self.shape.dtype).view(-1, self.shape.width)


def states_on_disk(
    transformer: Decoder,
    rows: Sequence[EncodedReply],
    padding_id: int,
    directory: Path,
    progress: Poll = lambda done, of: None,
    stored: torch.dtype = torch.float32,
) -> StatesOnDisk:
    """Compute what is not yet in `directory`, batch by batch, and open it. Raises NoRoomForStates.

    Rounded to bf16 they take half the room, and a score is off by 0.8 % of the scores' spread (root mean square,
    SmolLM2-135M on 120 replies of hh-rlhf).

    A batch counts once its checksum is written, after its states; a process killed at any point leaves whole batches
    and a rest that the next one overwrites.
    """
    layout, shape = Layout.of(rows), Shape(transformer.config.hidden_size, stored)
    if processes.is_main():
        _prepare(directory, _key(transformer, rows, shape))
        _require_room(directory, layout.tokens * shape.size)
    processes.wait_for_all()
    path, sums = directory / "states", directory / "checksums"
    done = _whole_batches(path, sums, layout, shape, progress)
    finished = sum(map(len, layout.batches[:done]))
    with path.open("r+b") as data, sums.open("r+b") as checks:
        processes.wait_for_all()  # until all have seen what is there
        if processes.is_main():
            data.truncate(data.seek(layout.ends[done - 1] * shape.size if done else 0))
            checks.truncate(checks.seek(CHECKSUM * done))
        for start in range(done, len(layout.batches), processes.count()):
            progress(finished, len(rows))
            together = layout.batches[start : start + processes.count()]
            for written in _states_of_each(transformer, rows, together, layout, padding_id, stored):
                _append(data, checks, written.view(torch.uint8).numpy().tobytes())
            finished += sum(map(len, together))
    processes.wait_for_all()
    progress(len(rows), len(rows))
    return StatesOnDisk(path, layout, shape)


def _states_of_each(
    transformer: Decoder,
    rows: Sequence[EncodedReply],
    batches: Sequence[list[int]],
    layout: Layout,
    padding_id: int,
    stored: torch.dtype,
) -> Sequence[Tensor]:
    """Of each of at most as many batches as there are processes, each of which computes one; for the main process,
    which writes them."""
    mine = batches[processes.rank() % len(batches)]
    found = _states_of(transformer, rows, mine, layout, padding_id).to(stored).cpu()
    if processes.count() == 1:
        return [found]
    counts = processes.rank() < len(batches)
    lengths = [int(n) for n in processes.gather(torch.tensor([len(found) if counts else 0])).tolist()]
    everything = processes.gather(found if counts else found[:0])
    return torch.split(everything, lengths)[: len(batches)] if processes.is_main() else []


def _append(data: BinaryIO, checks: BinaryIO, states: bytes) -> None:
    """The checksum last, so that it vouches for what stands before it."""
    for file, written in ((data, states), (checks, _checksum(states))):
        file.write(written)
        file.flush()


def _states_of(
    transformer: Decoder, rows: Sequence[EncodedReply], batch: list[int], layout: Layout, padding_id: int
) -> Tensor:
    """[tokens, D] of the batch's tokens that no earlier one holds, in the order of `Layout`."""
    padded = transformer.run_trunk(pad([rows[item] for item in batch], padding_id))
    parts = [
        padded[position, 0 if item in layout.owners else rows[item].prompt_length : rows[item].length]
        for position, item in enumerate(batch)
    ]
    return torch.cat(parts)


def _prepare(directory: Path, key: str) -> None:
    """Empty the directory of states of other replies or another trunk."""
    note = directory / "key"
    if note.exists() and note.read_text() == key:
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    for name in ("states", "checksums"):
        (directory / name).touch(mode=0o600)
    note.write_text(key)


def _require_room(directory: Path, needed: int) -> None:
    missing = needed - (directory / "states").stat().st_size
    free = shutil.disk_usage(directory).free
    if missing > free:
        raise NoRoomForStates(directory, needed >> 20, free >> 20)


def _whole_batches(path: Path, sums: Path, layout: Layout, shape: Shape, progress: Poll) -> int:
    """How many batches from the first on are there and undamaged."""
    known = sums.read_bytes()
    starts = [0, *layout.ends]
    with path.open("rb") as data:
        for index, (start, end) in enumerate(pairwise(starts)):
            expected = known[CHECKSUM * index : CHECKSUM * (index + 1)]
            if len(expected) < CHECKSUM or _checksum(data.read((end - start) * shape.size)) != expected:
                return index
            progress(0, len(layout.starts))
    return len(layout.ends)


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(CHECKSUM, "little")


def _key(transformer: Decoder, rows: Sequence[EncodedReply], shape: Shape) -> str:
    """Of the replies, their form in the file, and the trunk that reads them."""
    found = hashlib.sha256(f"{transformer.trunk_layers} {shape} {BATCH_TOKENS}".encode())
    for row in rows:
        found.update(f"{row.prompt_length}:".encode() + np.asarray(row.ids, dtype=np.int32).tobytes())
    found.update(transformer.embedding[:64].float().cpu().numpy().tobytes())
    return found.hexdigest()


def _digest(ids: Sequence[int]) -> bytes:
    return hashlib.sha256(np.asarray(ids, dtype=np.int32).tobytes()).digest()
