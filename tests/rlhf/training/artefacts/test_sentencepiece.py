"""A folder with SentencePiece's own file alone: its tokens are those that SentencePiece itself finds."""

import json
from pathlib import Path

import pytest

from chat.prompts.rendering import Renderer
from rlhf.training.artefacts import fetch
from rlhf.training.artefacts.sources import BadSource
from rlhf.training.tokens import ChatTokenizer
from tests.families import make_folder
from tests.tiny import TEXT

TEXTS = ("A star is a ball of hot gas.", "참새 is a sparrow: 🐦", "Wash the rice,  add water.", "12 songs\nof birds")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pieces = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed (the extra `train`)")
    folder = make_folder(tmp_path_factory.mktemp("pieces") / "folder", "llama-byte-fallback")
    (folder / "tokenizer.json").unlink()
    (folder / "text.txt").write_text("\n".join(TEXT * 4))
    pieces.SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "tokenizer"), vocab_size=420, model_type="bpe",
        byte_fallback=True, character_coverage=0.98, normalization_rule_name="identity",
        remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    settings = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "legacy": False}))
    return folder


def test_its_tokens_are_those_of_sentencepiece(folder: Path, tmp_path: Path) -> None:
    import sentencepiece

    fetch.fetch(str(folder), tmp_path / "p", lambda done, total: None)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    trained, served = ChatTokenizer.load(tmp_path / "p"), Renderer(tmp_path / "p")
    for text in TEXTS:
        assert trained.text_ids(text) == theirs.encode(text)
        assert theirs.decode(trained.text_ids(text)) == text
        asked = [{"role": "user", "content": text}]
        assert trained.prompt_ids(asked) == served.ids(asked)
    assert trained.end_ids == {theirs.eos_id()}


def test_a_tokenizer_that_needs_a_package_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "folder", "llama-byte-fallback")
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")
    monkeypatch.setattr("rlhf.training.artefacts.folder_tokenizer._is_installed", lambda package: False)
    with pytest.raises(BadSource, match="pip install sentencepiece protobuf"):
        fetch.fetch(str(folder), tmp_path / "p", lambda done, total: None)
