"""The tokenizer of a Hugging Face folder, as one tokenizer.json with its settings, chat template and end tokens.

Written by transformers from whatever form the folder has (tokenizer.json, vocabulary and merges, SentencePiece), so
that what is trained, which reads it by transformers, and what is served, which reads the file, find the same ids.
"""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer

from rlhf.training.artefacts.sources import BadSource
from rlhf.training.tokens import ChatTokenizer, NoEnd, NoPadding

TEMPLATE = "chat_template.jinja"
PIECES = ("tokenizer.model", "spiece.model")
FORMS = ("tokenizer.json", "vocab.json", *PIECES)
READERS = ("sentencepiece", "protobuf")
"""Packages by which transformers reads SentencePiece's files."""
SAMPLES = ("Hello, sparrow!", "  two  spaces,\n\ttabs\nand 1234567 digits", "참새는 새다. 🐦 é", "a<b>c</s>", "")


def write(source: str, folder: Path, draft: Path) -> None:
    """Write what the tokenizer of `folder` is into `draft`, which has the configuration. Raises BadSource."""
    if not any((folder / name).exists() for name in FORMS):
        raise BadSource(source, "it has no tokenizer.json, and nothing that one could be made from")
    _refuse_unread_pieces(source, folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # `tokenizers` raises bare Exception, converters what they like
        raise BadSource(source, f"transformers cannot read its tokenizer: {error}") from error
    if not getattr(tokenizer, "is_fast", False):
        raise BadSource(
            source, "its tokenizer has no form that tokenizer.json can hold; a copy with tokenizer.json does"
        )
    template = read_template(source, folder)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(str(draft))
    (draft / TEMPLATE).write_text(template, encoding="utf-8")
    _refuse_other_ids(source, tokenizer, draft)


def _refuse_unread_pieces(source: str, folder: Path) -> None:
    lacking = [package for package in READERS if not _is_installed(package)]
    if lacking and not (folder / "tokenizer.json").exists() and any((folder / name).exists() for name in PIECES):
        raise BadSource(
            source,
            f"its tokenizer is SentencePiece's own file, and {' and '.join(lacking)} to read it is not installed: pip"
            f" install {' '.join(lacking)}; a copy with tokenizer.json does without",
        )


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def settle_ends(source: str, draft: Path) -> None:
    """Write every token that ends a reply, and one that pads, into generation_config.json. Raises BadSource."""
    try:
        chat = ChatTokenizer.load(draft)
    except (NoEnd, NoPadding) as error:
        raise BadSource(source, str(error)) from error
    except Exception as error:  # a template is a program of its own
        raise BadSource(source, f"its chat template fails on a plain question: {error}") from error
    path = draft / "generation_config.json"
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    others = sorted(chat.end_ids - {chat.end_id})
    known |= {"eos_token_id": [chat.end_id, *others] if others else chat.end_id, "pad_token_id": chat.padding_id}
    path.write_text(json.dumps(known, indent=1))


def read_template(source: str, folder: Path) -> str:
    """From chat_template.jinja, or from tokenizer_config.json in older folders. Raises BadSource."""
    settings = folder / "tokenizer_config.json"
    template = ""
    if (folder / TEMPLATE).exists():
        template = (folder / TEMPLATE).read_text(encoding="utf-8")
    elif settings.exists():
        template = _text_of(json.loads(settings.read_text(encoding="utf-8")).get("chat_template"))
    if not template:
        raise BadSource(
            source,
            "the model has no chat template, so it is not made for conversation; the family's model for instructions"
            " or chat does",
        )
    return template


def _text_of(template: Any) -> str:
    """Of several by name, in either spelling, the default one."""
    if isinstance(template, list):
        template = {item["name"]: item["template"] for item in template}
    if isinstance(template, dict):
        template = template.get("default")
    return template if isinstance(template, str) else ""


def _refuse_other_ids(source: str, tokenizer: Any, draft: Path) -> None:
    written = AutoTokenizer.from_pretrained(str(draft), trust_remote_code=False, local_files_only=True)
    plain = Tokenizer.from_file(str(draft / "tokenizer.json"))
    for text in SAMPLES:
        wanted = tokenizer(text, add_special_tokens=False)["input_ids"]
        found = written(text, add_special_tokens=False)["input_ids"]
        if not wanted == found == plain.encode(text, add_special_tokens=False).ids:
            raise BadSource(source, f"its tokenizer, written as tokenizer.json, finds other tokens in {text!r}")
