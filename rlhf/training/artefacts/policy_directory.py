"""A trained policy as a directory like its base's: new weights, the same tokenizer, a GGUF copy, a card."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from rlhf.training.artefacts import card, checkpoints, gguf_export

KEPT = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def publish(
    target: Path, *, base: Path, state: Mapping[str, torch.Tensor], simulated: bool, facts: Mapping[str, Any]
) -> Path:
    """Write `state` (Hugging Face's names) as the policy directory `target`. Raises NotFinite."""

    def write(draft: Path) -> None:
        weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in state.items()}
        save_file(weights, draft / "model.safetensors", metadata={"format": "pt"})
        for name in KEPT:
            if (base / name).exists():
                shutil.copyfile(base / name, draft / name)
        gguf_export.export(draft, draft / "policy.gguf", name=target.name)
        _write_card(draft, target.name, base, simulated, facts)

    return checkpoints.publish(write, target, base=base.name)


def weights(policy: Path) -> dict[str, torch.Tensor]:
    """The state of a policy directory under Hugging Face's names."""
    return load_file(policy / "model.safetensors")


def _write_card(draft: Path, name: str, base: Path, simulated: bool, facts: Mapping[str, Any]) -> None:
    before = card.front_matter(base)
    tags = ["chamsae", "trl", str(facts.get("algorithm", ""))] + (["simulated-feedback"] if simulated else [])
    by = "simulated annotators" if simulated else "the people who use the site"
    card.write(
        draft,
        title=name,
        front={
            "base_model": base.name,
            "library_name": "transformers",
            "pipeline_tag": "text-generation",
            "license": before.get("license", "unknown"),
            "tags": tags,
        },
        text=f"Tuned from `{base.name}` by reinforcement learning on judgements of {by}. "
        "Weights are the base's with the adapter merged, in bf16.",
        facts={"base weights (sha256)": _sha256(base), **facts},
    )


def _sha256(policy: Path) -> str:
    files: Any = checkpoints.verify(policy)["files"]
    return str(files["model.safetensors"]["sha256"])
