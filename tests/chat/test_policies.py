"""A policy directory is whole, inside its place, and finite, or it is refused with the reason."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chat import policies
from chat.errors import BadPolicy, NoLivePolicy
from chat.models import Policy


@pytest.fixture
def copy(tiny_policy, settings):
    target = settings.MODELS_DIR / "copy"
    shutil.rmtree(target, ignore_errors=True)
    yield shutil.copytree(tiny_policy, target)
    shutil.rmtree(target)


def reseal(directory):
    files = {
        path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
        for path in directory.iterdir()
        if path.name != "manifest.json"
    }
    (directory / "manifest.json").write_text(json.dumps({"format": 1, "files": files}))


def add_adapter(directory, listed="adapter/adapter_model.safetensors"):
    (directory / "adapter").mkdir()
    shutil.copy(directory / "model.safetensors", directory / "adapter/adapter_model.safetensors")
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["files"][listed] = manifest["files"]["model.safetensors"]
    (directory / "manifest.json").write_text(json.dumps(manifest))


def test_a_directory_with_an_adapter_passes_and_its_tensors_are_read(copy):
    add_adapter(copy)
    assert policies.verify(copy)
    names = policies.nonfinite_tensors(copy)
    assert names == []
    weights = copy / "adapter/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-2] + b"\xc0\x7f")
    assert policies.nonfinite_tensors(copy)
    with pytest.raises(BadPolicy, match="content differs"):
        policies.verify(copy)


@pytest.mark.parametrize(
    "harm",
    [
        lambda d: (d / "adapter/extra.txt").write_text("x"),
        lambda d: (d / "adapter/adapter_model.safetensors").unlink(),
        lambda d: (d / "adapter").rename(d / "other"),
        lambda d: (shutil.move(d / "adapter", d.parent / "a"), (d / "adapter").symlink_to(d.parent / "a")),
    ],
)
def test_a_harmed_adapter_is_refused(copy, harm):
    add_adapter(copy)
    harm(copy)
    with pytest.raises(BadPolicy):
        policies.verify(copy)
    shutil.rmtree(copy.parent / "a", ignore_errors=True)


@pytest.mark.parametrize("listed", ["adapter/../../x", "adapter/a/b", "adapter/", "../adapter/x", "adapter/x.bin"])
def test_a_manifest_names_no_file_elsewhere(copy, listed):
    add_adapter(copy, listed)
    with pytest.raises(BadPolicy, match=r"names|could run code"):
        policies.verify(copy)


def test_a_whole_directory_passes(copy):
    expected = hashlib.sha256((copy / "manifest.json").read_bytes()).hexdigest()
    assert policies.verify(copy) == expected
    assert policies.all_finite(copy)


@pytest.mark.parametrize(
    "harm",
    [
        lambda d: (d / "manifest.json").unlink(),
        lambda d: (d / "manifest.json").write_text("[" * 100_000),
        lambda d: (d / "model.safetensors").write_bytes((d / "model.safetensors").read_bytes()[:-1]),
        lambda d: (d / "config.json").unlink(),
        lambda d: (d / "extra.txt").write_text("x"),
        lambda d: (d / "weights.bin").write_bytes(b"x"),
        lambda d: ((d / "modeling.py").write_text("import os"), reseal(d)),
        lambda d: ((d / "x.pkl").write_bytes(b"x"), reseal(d)),
        lambda d: ((d / "config.json").write_text('{"auto_map": {}}'), reseal(d)),
        lambda d: (shutil.move(d / "config.json", d.parent / "c"), (d / "config.json").symlink_to(d.parent / "c")),
    ],
)
def test_a_harmed_directory_is_refused(copy, harm):
    harm(copy)
    with pytest.raises(BadPolicy):
        policies.verify(copy)


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_any_changed_byte_of_the_weights_is_found(copy, place, flip):
    weights = copy / "model.safetensors"
    before = weights.read_bytes()
    after = bytearray(before)
    after[int(place * len(after))] ^= flip
    weights.write_bytes(after)
    try:
        with pytest.raises(BadPolicy):
            policies.verify(copy)
    finally:
        weights.write_bytes(before)


@pytest.mark.parametrize("kind", ["BF16", "F16", "F32", "F64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_found(tmp_path, kind, value):
    import torch
    from safetensors.torch import save_file

    dtype = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}[kind]
    good, bad = torch.linspace(-9, 9, 99).to(dtype), torch.zeros(4, 5, dtype=dtype)
    bad[3, 2] = float(value)
    save_file({"good": good, "bad": bad, "count": torch.arange(3)}, tmp_path / "model.safetensors")
    assert policies.nonfinite_tensors(tmp_path) == ["bad"]
    save_file({"good": good}, tmp_path / "model.safetensors")
    assert policies.all_finite(tmp_path)


def test_safetensors_that_lie_about_themselves_are_refused(tmp_path):
    file = tmp_path / "model.safetensors"
    header = json.dumps({"x": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
    cut = len(header).to_bytes(8, "little") + header
    for content in (b"", (10**9).to_bytes(8, "little"), cut, (3).to_bytes(8, "little") + b"[[["):
        file.write_bytes(content)
        with pytest.raises(BadPolicy):
            policies.nonfinite_tensors(tmp_path)


@pytest.mark.django_db
def test_registering_counts_versions_and_makes_nothing_live(copy, settings):
    first = policies.register(copy, name="one", source="test")
    second = policies.register(copy, name="two", source="run:1", base=first, made_from_simulated=True)
    assert (first.version, second.version, second.base) == (1, 2, first)
    assert policies.directory(first) == copy.resolve()
    with pytest.raises(NoLivePolicy):
        policies.live()
    Policy.objects.filter(pk=second.pk).update(is_live=True)
    assert policies.live() == second


@pytest.mark.django_db
@pytest.mark.parametrize("place", ["../outside", "/etc", "", ".", "a/../../b", "a\0b"])
def test_a_directory_outside_of_the_models_is_refused(place):
    with pytest.raises((BadPolicy, ValueError)):
        policies.directory(Policy(name="x", version=1, directory=place))
