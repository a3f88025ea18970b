"""A checkpoint is old or new, never a mixture, wherever the process that writes it is killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlhf.training.artefacts import checkpoints


def write_value(value: float, name: str = "model.safetensors"):
    def write(draft: Path) -> None:
        save_file({"a": torch.full((64, 64), value), "b": torch.tensor([value])}, draft / name)
        (draft / "sub").mkdir()
        (draft / "sub" / "note.txt").write_text(str(value))

    return write


def test_the_manifest_lists_every_file_and_counts_tensors(tmp_path: Path) -> None:
    checkpoints.publish(write_value(1.0), tmp_path / "x", base="start")
    manifest = checkpoints.verify(tmp_path / "x")
    assert set(manifest["files"]) == {"model.safetensors", "sub/note.txt"}
    assert (manifest["tensors"], manifest["base"], manifest["format"]) == (2, "start", 1)


def test_publishing_replaces_what_was_there_and_leaves_nothing_else(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        checkpoints.publish(write_value(value), tmp_path / "x")
    assert load_file(tmp_path / "x" / "model.safetensors")["b"].item() == 2.0
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_never_published(tmp_path: Path, bad: float) -> None:
    checkpoints.publish(write_value(1.0), tmp_path / "x")
    with pytest.raises(checkpoints.NotFinite, match="tensor a"):
        checkpoints.publish(write_value(bad), tmp_path / "x")
    assert load_file(tmp_path / "x" / "model.safetensors")["b"].item() == 1.0
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "state.pt", "x.pkl", "modeling.py"])
def test_files_that_may_run_code_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(checkpoints.RefusedFile, match=name):
        checkpoints.publish(lambda draft: (draft / name).write_bytes(b"x") and None, tmp_path / "x")


@pytest.mark.parametrize("damage", ["change", "remove", "add", "no manifest"])
def test_damage_is_seen(tmp_path: Path, damage: str) -> None:
    folder = checkpoints.publish(write_value(1.0), tmp_path / "x")
    note = folder / "sub" / "note.txt"
    if damage == "change":
        note.write_text("2.0")
    elif damage == "remove":
        note.unlink()
    elif damage == "add":
        (folder / "extra.txt").write_text("")
    else:
        (folder / "manifest.json").unlink()
    with pytest.raises(checkpoints.Damaged):
        checkpoints.verify(folder)


def test_old_drafts_are_swept_and_a_directory_set_aside_comes_back(tmp_path: Path) -> None:
    stale, fresh = tmp_path / "tmp-old", tmp_path / "tmp-new"
    stale.mkdir(), fresh.mkdir()
    os.utime(stale, (time.time() - 7200,) * 2)
    (tmp_path / "aside-0123-policy-7").mkdir()
    checkpoints.sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["policy-7", "tmp-new"]


def test_without_an_atomic_exchange_it_still_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_exchange", lambda one, other: False)
    for value in (1.0, 2.0):
        checkpoints.publish(write_value(value), tmp_path / "x")
    assert load_file(tmp_path / "x" / "model.safetensors")["b"].item() == 2.0
    assert os.listdir(tmp_path) == ["x"]


WRITER = """
import sys, itertools
from pathlib import Path
from rlhf.training.artefacts import checkpoints
import torch
from safetensors.torch import save_file
target = Path(sys.argv[1])
print("ready", flush=True)
for value in itertools.count(2.0):
    def write(draft):
        for part in range(4):
            save_file({"a": torch.full((256, 256), value)}, draft / f"{part}.safetensors")
    checkpoints.publish(write, target)
"""


@pytest.mark.fault
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    target = tmp_path / "x"

    def first(draft: Path) -> None:
        for part in range(4):
            save_file({"a": torch.full((256, 256), 1.0)}, draft / f"{part}.safetensors")

    checkpoints.publish(first, target)
    delays = random.Random(0)
    seen = set()
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delays.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        checkpoints.verify(target)
        values = {load_file(target / f"{part}.safetensors")["a"][0, 0].item() for part in range(4)}
        assert len(values) == 1
        seen |= values
    checkpoints.sweep(tmp_path, older_than_s=0)
    assert os.listdir(tmp_path) == ["x"]
    assert json.loads((target / "manifest.json").read_text())["tensors"] == 4
