"""The fetch stage: makes a policy directory from any source; once it is there, no network is needed."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from rlhf.training.artefacts import card, checkpoints, gguf_export, gguf_import, served_file
from rlhf.training.artefacts.sources import BadSource, Progress, located
from rlhf.training.run import RunDirectory

TEXT_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
STEPS = 100
"""Of a download in metrics.jsonl: hundredths."""


def run(directory: RunDirectory) -> dict[str, Any]:
    def progress(done: int, total: int | None) -> None:
        directory.stop_if_asked()
        step = min(STEPS - 2, int(done / total * STEPS)) if total else 0
        directory.report(step, STEPS, {"bytes": done, "bytes_total": total})

    return fetch(str(directory["source"]), directory.directory("output"), progress, served=directory.served)


def fetch(source: str, output: Path, progress: Progress, *, served: str = "q8_0") -> dict[str, Any]:
    """Make the policy directory `output` from `source` unless it is there, with the file that answers people in the
    type `served`. Raises BadSource and Unsupported."""
    cached = _is_there(source, output)
    if not cached:
        with located(source, output.parent, _throttled(progress)) as found:
            checkpoints.publish(lambda draft: _fill(source, found, draft, served), output, base=source)
    elif served_file.type_of(output) != served:
        checkpoints.publish(lambda draft: _copy_served_as(served, output, draft), output, base=source)
    config = json.loads((output / "config.json").read_text())
    weights = output / "model.safetensors"
    return {
        "source": source,
        "output": str(output),
        "cached": cached,
        "bytes": weights.stat().st_size,
        "parameters": weights.stat().st_size // 2,
        "max_position_embeddings": config["max_position_embeddings"],
        "license": card.front_matter(output).get("license", "unknown"),
    }


def _throttled(progress: Progress, every_s: float = 0.5) -> Progress:
    """Pass on at most one report each `every_s`."""
    last = [0.0]

    def report(done: int, total: int | None) -> None:
        if time.monotonic() - last[0] >= every_s:
            last[0] = time.monotonic()
            progress(done, total)

    return report


def _is_there(source: str, output: Path) -> bool:
    try:
        return checkpoints.verify(output)["base"] == source
    except checkpoints.Damaged:
        return False


def _copy_served_as(served: str, policy: Path, draft: Path) -> None:
    """The same policy with a file of another type for those who ask it."""
    for path in policy.iterdir():
        if path.name not in (served_file.GGUF, served_file.FIGURES, checkpoints.MANIFEST):
            shutil.copyfile(path, draft / path.name)
    served_file.write(draft, kind=served, name=policy.name)


def _fill(source: str, found: Path, draft: Path, served: str) -> None:
    about = gguf_import.convert(found, draft) if found.is_file() else _copy_folder(source, found, draft)
    if not (draft / "chat_template.jinja").exists():
        raise BadSource(source, "the model has no chat template, so it is not made for conversation")
    served_file.write(draft, kind=served, name=about["name"])
    quantised = about.get("quantisation", "")
    card.write(
        draft,
        title=about["name"],
        front={
            "library_name": "transformers",
            "pipeline_tag": "text-generation",
            "license": about["license"],
            "tags": ["chamsae"],
        },
        text="The start of a line of policies: weights as fetched, in bf16, with a GGUF file for the engine.",
        facts={"source": source, "weights of the source": quantised or "safetensors"},
    )


def _copy_folder(source: str, folder: Path, draft: Path) -> dict[str, str]:
    """Take the weights of a Hugging Face folder as one bf16 file, and its configuration and tokenizer."""
    config = json.loads((folder / "config.json").read_text())
    if "auto_map" in config:
        raise BadSource(source, "its config.json asks for code of its own (auto_map), which is never run")
    if not (folder / "tokenizer.json").exists():
        raise BadSource(source, "it has no tokenizer.json")
    shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        raise BadSource(source, "it has no safetensors; pickled weights are never read")
    tied = bool(config.get("tie_word_embeddings"))
    weights = {}
    for shard in shards:
        with safe_open(str(shard), framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  not a dict
                if not (tied and name == "lm_head.weight"):
                    gguf_export.tensor_name(name)
                    weights[name] = file.get_tensor(name).to(torch.bfloat16).contiguous()
    save_file(weights, str(draft / "model.safetensors"), metadata={"format": "pt"})
    for name in TEXT_FILES:
        if (folder / name).exists():
            shutil.copyfile(folder / name, draft / name)
    (draft / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}, indent=1))
    _copy_template(folder, draft)
    return {"name": folder.name, "license": str(card.front_matter(folder).get("license", "unknown"))}


def _copy_template(folder: Path, draft: Path) -> None:
    """From chat_template.jinja, or from tokenizer_config.json in older folders."""
    own = folder / "chat_template.jinja"
    if own.exists():
        shutil.copyfile(own, draft / own.name)
        return
    settings = folder / "tokenizer_config.json"
    template = json.loads(settings.read_text()).get("chat_template") if settings.exists() else None
    if isinstance(template, list):
        template = next((item["template"] for item in template if item["name"] == "default"), None)
    if template:
        (draft / own.name).write_text(template)
