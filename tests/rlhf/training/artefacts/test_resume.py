"""A run goes on from its newest undamaged checkpoint, and says which ones it passed over."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rlhf.training.artefacts.resume import Checkpointer

Damage = Callable[[Path], None]


def saved(folder: Path, count: int = 3) -> Checkpointer:
    """Checkpoints of `count` iterations, each with its number in a tensor and in a value."""
    checkpointer = Checkpointer(folder, {"seed": 0})
    for number in range(count):
        checkpointer.save(number, {"weight": torch.full((50,), float(number))}, {"iteration": number})
    return checkpointer


def flip_a_bit(path: Path) -> None:
    """Of the last byte; in the manifest, where nothing depends on most bits, of the first quotation mark."""
    content = bytearray(path.read_bytes())
    content[content.index(b'"') if path.name == "manifest.json" else -1] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def restored(checkpointer: Checkpointer) -> int | None:
    found = checkpointer.load()
    if found is None:
        return None
    tensors, values = found
    assert tensors["weight"].tolist() == [values["iteration"]] * 50
    return int(values["iteration"])


def test_the_two_newest_are_kept_and_the_newest_is_continued(tmp_path: Path) -> None:
    checkpointer = saved(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["iteration-000001", "iteration-000002"]
    assert restored(checkpointer) == 2


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, Path.unlink])
@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "manifest.json"])
def test_the_one_before_a_damaged_one_is_continued(
    tmp_path: Path, damage: Damage, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpointer = saved(tmp_path)
    damage(tmp_path / "iteration-000002" / name)
    with caplog.at_level(logging.WARNING):
        assert restored(checkpointer) == 1
    assert "iteration-000002" in caplog.text
    assert "damaged and is not used" in caplog.text
    checkpointer.save(2, {"weight": torch.full((50,), 2.0)}, {"iteration": 2})
    assert restored(checkpointer) == 2


@pytest.mark.parametrize("damage", [flip_a_bit, truncate])
def test_where_none_is_whole_the_run_begins_anew(tmp_path: Path, damage: Damage) -> None:
    checkpointer = saved(tmp_path)
    for folder in tmp_path.iterdir():
        damage(folder / "state.safetensors")
    assert restored(checkpointer) is None
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", ["[]", "{}", '{"files": []}', '{"files": {"state.json": 1}}', "\x00"])
def test_a_manifest_of_another_form_is_damage(tmp_path: Path, content: str) -> None:
    checkpointer = saved(tmp_path)
    (tmp_path / "iteration-000002" / "manifest.json").write_text(content)
    assert restored(checkpointer) == 1


def test_one_without_hashes_of_an_earlier_version_is_not_continued(tmp_path: Path) -> None:
    checkpointer = saved(tmp_path, count=1)
    (tmp_path / "iteration-000000" / "manifest.json").unlink()
    assert restored(checkpointer) is None


def test_a_kill_while_one_is_written_leaves_the_former_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpointer = saved(tmp_path)
    monkeypatch.setattr(os, "replace", lambda *_paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save(3, {"weight": torch.zeros(50)}, {"iteration": 3})
    assert restored(checkpointer) == 2


def test_the_manifest_lists_what_the_checkpoint_consists_of(tmp_path: Path) -> None:
    saved(tmp_path, count=1)
    manifest = json.loads((tmp_path / "iteration-000000" / "manifest.json").read_text())
    assert set(manifest["files"]) == {"state.safetensors", "state.json"}
