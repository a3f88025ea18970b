"""Our safetensors files against the library's own reader and writer."""

import numpy as np
import pytest
from safetensors import numpy as library

from rlhf.training.lecture import arrays

GIVEN = {
    "whole": np.arange(6, dtype=np.int64).reshape(2, 3),
    "half": np.asarray([0.5, -1.5], dtype=np.float32),
    "none": np.zeros(0, dtype=np.int32),
}


def test_the_library_reads_what_is_written(tmp_path):
    arrays.write(tmp_path / "a.safetensors", GIVEN)
    found = library.load_file(tmp_path / "a.safetensors")
    assert all(np.array_equal(found[name], array) for name, array in GIVEN.items())


def test_what_the_library_writes_is_read(tmp_path):
    library.save_file(GIVEN, tmp_path / "a.safetensors", metadata={"by": "the library"})
    found = arrays.read(tmp_path / "a.safetensors")
    assert all(np.array_equal(found[name], array) for name, array in GIVEN.items())


@pytest.mark.parametrize("content", [b"no safetensors at all", b"\x08\0\0\0\0\0\0\0[1, 2, 3"])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(arrays.BadArrays):
        arrays.read(tmp_path / "a.safetensors")
