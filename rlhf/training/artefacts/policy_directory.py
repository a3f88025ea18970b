"""Publishes a trained policy as a directory: new weights, the base's tokenizer, the file for the engine, a card."""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from rlhf.training.artefacts import card, checkpoints, policy_adapter, served_file
from rlhf.training.artefacts.gguf_families import Unsupported
from rlhf.training.model.adapter import Adapter

COPIED = (
    *("config.json", "generation_config.json", "chat_template.jinja"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("tokenizer.model", "vocab.json", "merges.txt"),
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Provenance:
    """How a policy was made, as its model card says."""

    text: str
    """A paragraph; `{base}` stands for the base's name."""
    facts: Mapping[str, Any]
    tags: tuple[str, ...] = ()
    title: str | None = None
    """What people call it; the directory's name where it is left out."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Fields of config.json that differ from the base's."""


def publish(
    target: Path,
    provenance: Provenance,
    *,
    base: Path,
    state: Mapping[str, torch.Tensor],
    served: str,
    adapter: Adapter | None = None,
) -> Path:
    """Write `state` (Hugging Face's names) as the policy directory `target`. Raises NotFinite.

    `served`: the type of the file that answers people, one of `gguf_export.KINDS`, for families that have one.
    `adapter`: of which, over `base`, `state` is the merged form; it is written, too, and the file is made from
    `state` as it is. The safetensors are rounded to bf16, once.
    """

    def write(draft: Path) -> None:
        write_weights(draft, base, state)
        if provenance.config:
            _change_config(draft / "config.json", provenance.config)
        _write_served(draft, kind=served, name=target.name, exact=None if adapter is None else state)
        if adapter is not None:
            policy_adapter.write(draft, adapter, base=base.name, base_sha256=_sha256(base))
        _write_card(draft, provenance.title or target.name, base, provenance)

    return checkpoints.publish(write, target, base=base.name)


def _write_served(draft: Path, *, kind: str, name: str, exact: Mapping[str, torch.Tensor] | None) -> None:
    """Of a family without such a file, nothing: an engine reads the weights themselves."""
    try:
        served_file.write(draft, kind=kind, name=name, exact=exact)
    except Unsupported as error:
        log.warning("%s is answered for from its safetensors: %s", name, error)


def write_weights(draft: Path, base: Path, state: Mapping[str, torch.Tensor]) -> None:
    """`state` rounded to bf16, with the configuration and the tokenizer of `base`."""
    rounded = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in state.items()}
    save_file(rounded, draft / "model.safetensors", metadata={"format": "pt"})
    for name in COPIED:
        if (base / name).exists():
            shutil.copyfile(base / name, draft / name)


def weights(policy: Path) -> dict[str, torch.Tensor]:
    """The state of a policy directory under Hugging Face's names."""
    return load_file(policy / "model.safetensors")


def _change_config(path: Path, fields: Mapping[str, Any]) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}, indent=1))


def _write_card(draft: Path, title: str, base: Path, provenance: Provenance) -> None:
    before = card.front_matter(base)
    card.write(
        draft,
        title=title,
        front={
            "base_model": base.name,
            "library_name": "transformers",
            "pipeline_tag": "text-generation",
            "license": before.get("license", "unknown"),
            "tags": ["chamsae", *provenance.tags],
        },
        text=provenance.text.format(base=base.name),
        facts={"base weights (sha256)": _sha256(base), **provenance.facts},
    )


def _sha256(policy: Path) -> str:
    """Of the weights. Raises Damaged where the directory is not whole."""
    files: Any = checkpoints.verify(policy)["files"]
    return str(files["model.safetensors"]["sha256"])
