"""Models of a hub by huggingface_hub: from a mirror, gated, and refused before the weights are fetched."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlhf.training.artefacts import checkpoints, fetch
from rlhf.training.artefacts.sources import BadSource
from tests.families import make_folder
from tests.rlhf.training.artefacts.fake_hub import GOOD, POOR, Hub, running


def silent(done: int, total: int | None) -> None:
    pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In two shards, beside files that nobody needs."""
    from transformers import AutoModelForCausalLM

    folder = make_folder(tmp_path_factory.mktemp("hub") / "qwen", "qwen2")
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="150KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    (folder / "original").mkdir()
    shutil.copy(folder / "model-00001-of-00002.safetensors", folder / "original" / "consolidated.safetensors")
    return folder


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite is offline, which the library reads once."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture
def hub(model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running(Hub(public={"maker/qwen": model}, gated={"maker/gated": model})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def test_a_mirror_gives_the_weights_that_its_index_names_and_nothing_that_could_run(hub: Hub, tmp_path: Path) -> None:
    told: list[int] = []
    result = fetch.fetch("maker/qwen", tmp_path / "p", lambda done, total: told.append(done))
    checkpoints.verify(tmp_path / "p")
    assert (result["model_type"], result["engine"]) == ("qwen2", "llama.cpp")
    read = {line.split()[1] for line in hub.read}
    assert {f"model-0000{n}-of-00002.safetensors" for n in (1, 2)} <= read
    assert not [name for name in read if name.endswith(".bin") or "original" in name]
    assert told
    assert os.listdir(tmp_path) == ["p"]


def test_a_gated_model_opens_to_the_token_of_whoever_may_read_it(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", GOOD)
    assert fetch.fetch("maker/gated", tmp_path / "p", silent)["cached"] is False
    for path in (tmp_path / "p").rglob("*"):
        assert GOOD.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("source", "token", "words"),
    [
        ("maker/gated", None, ["gated (401)", "ask for access at", "/maker/gated", "set HF_TOKEN"]),
        ("maker/gated", POOR, ["may not read it (403)", "ask for access at", "/maker/gated"]),
        ("maker/gated", "hf_wrong", ["401", "HF_TOKEN is no valid token"]),
        ("maker/absent", None, ["no such model", "check the name, or set HF_TOKEN"]),
        ("maker/absent", GOOD, ["no such model", "check the name and the token"]),
    ],
)
def test_what_the_hub_refuses_says_what_to_do(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, token: str | None, words: list[str]
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(BadSource) as caught:
        fetch.fetch(source, tmp_path / "p", silent)
    said = str(caught.value)
    assert all(word in said for word in [source, *words]), said
    assert token is None or token not in said
    assert os.listdir(tmp_path) == []


def test_a_model_that_cannot_be_taken_is_refused_before_its_weights_are_fetched(
    hub: Hub, model: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(model, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "t5", "architectures": None}))
    pickled = tmp_path / "pickled"
    shutil.copytree(model, pickled, ignore=shutil.ignore_patterns("*.safetensors*"))
    hub.public |= {"maker/t5": other, "maker/pickled": pickled}
    for source, words in (("maker/t5", "encoder"), ("maker/pickled", "pickled")):
        with pytest.raises(BadSource, match=words):
            fetch.fetch(source, tmp_path / "models" / "p", silent)
    assert not [line for line in hub.read if line.endswith((".safetensors", ".bin"))]


def test_a_hub_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BadSource, match=r"127\.0\.0\.1:9 cannot be reached"):
        fetch.fetch("maker/qwen", tmp_path / "p", silent)
