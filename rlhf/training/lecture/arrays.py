"""Reads and writes named numpy arrays as safetensors, with numpy alone: the site reads them without torch."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES: dict[str, np.dtype[Any]] = {
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "BF16": np.dtype("<u2"),
}
NAMES = {dtype: name for name, dtype in TYPES.items()}
HEADER_MOST_BYTES = 1 << 20


class BadArrays(Exception):
    """A file that is no safetensors file, or holds a type that is not read here."""


def write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raises KeyError for a type that the format is not written in here."""
    header, blocks, offset = {}, [], 0
    for name, array in arrays.items():
        block = np.ascontiguousarray(array).tobytes()
        shape = list(array.shape)
        header[name] = {
            "dtype": NAMES[array.dtype.newbyteorder("<")],
            "shape": shape,
            "data_offsets": [offset, offset + len(block)],
        }
        blocks.append(block)
        offset += len(block)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the numbers after it are aligned
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(blocks)


def read(path: Path, only: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Mapped from the file, so that what is not looked at is not read; bfloat16 as its 16 bits. Raises BadArrays,
    OSError.

    `only`: those of these names."""
    raw = np.memmap(path, dtype=np.uint8, mode="r")
    try:
        length = int.from_bytes(raw[:8].tobytes(), "little")
        if length > HEADER_MOST_BYTES:
            raise BadArrays(str(path))
        header = json.loads(raw[8 : 8 + length].tobytes())
        names = [name for name in header if name != "__metadata__" and (only is None or name in only)]
        return {name: _one(raw[8 + length :], header[name]) for name in names}
    except (ValueError, KeyError, TypeError) as error:
        raise BadArrays(f"{path}: {error}") from error


def _one(raw: NDArray[np.uint8], entry: Mapping[str, Any]) -> NDArray[Any]:
    start, end = entry["data_offsets"]
    dtype: np.dtype[Any] = TYPES[entry["dtype"]]
    array: NDArray[Any] = raw[start:end].view(dtype).reshape(entry["shape"])
    return array
