"""The fetch stage: makes a policy directory from any source; once it is there, no network is needed."""

import json
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from rlhf.training.artefacts import (
    admission,
    card,
    checkpoints,
    folder_tokenizer,
    folder_weights,
    gguf_families,
    gguf_import,
    served_file,
)
from rlhf.training.artefacts.sources import BadSource, Progress, located
from rlhf.training.run import RunDirectory

OFTEN_LEFT_OUT = (
    *("max_position_embeddings", "tie_word_embeddings", "vocab_size", "hidden_size", "eos_token_id"),
    *("intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"),
)
"""Of a config.json, or spelt otherwise; other parts of the site read these without transformers."""
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
    type `served`, where llama.cpp's file can hold the model. Raises BadSource."""
    cached = _is_there(source, output)
    if not cached:
        with located(source, output.parent, _throttled(progress), partial(_choose_weights, source)) as found:
            checkpoints.publish(lambda draft: _fill(source, found, draft, served), output, base=source)
    elif served_file.is_of_another_type(output, served):
        checkpoints.publish(lambda draft: _copy_served_as(served, output, draft), output, base=source)
    config = json.loads((output / "config.json").read_text())
    weights = output / "model.safetensors"
    return {
        "source": source,
        "output": str(output),
        "cached": cached,
        "bytes": weights.stat().st_size,
        "parameters": weights.stat().st_size // 2,
        "max_position_embeddings": config.get("max_position_embeddings"),
        "model_type": config["model_type"],
        "engine": "llama.cpp" if (output / served_file.GGUF).exists() else "transformers",
        "license": card.front_matter(output).get("license", "unknown"),
        "languages": card.front_matter(output).get("language", []),
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
    if not (draft / folder_tokenizer.TEMPLATE).exists():
        raise BadSource(source, "the model has no chat template, so it is not made for conversation")
    admission.read_config(source, draft)
    folder_tokenizer.settle_ends(source, draft)
    admission.check_weights(source, draft)
    file = _write_served(draft, served, about["name"])
    card.write(
        draft,
        title=about["name"],
        front={
            "library_name": "transformers",
            "pipeline_tag": "text-generation",
            "license": about["license"],
            "language": about["languages"],
            "tags": ["chamsae"],
        },
        text=f"The start of a line of policies: weights as fetched, in bf16; {file}.",
        facts={"source": source, "weights of the source": about.get("quantisation") or "safetensors"},
    )


def _write_served(draft: Path, kind: str, name: str) -> str:
    """How it is served, for the card."""
    try:
        served_file.write(draft, kind=kind, name=name)
    except gguf_families.Unsupported as error:
        return f"the safetensors are served as they are ({error})"
    return "with a GGUF file for the engine"


def _choose_weights(source: str, folder: Path, present: list[str]) -> list[str]:
    """Of the files of a repository whose configuration and tokenizer are in `folder`."""
    admission.read_config(source, folder)
    folder_tokenizer.read_template(source, folder)
    return folder_weights.chosen(source, folder, present)


def _copy_folder(source: str, folder: Path, draft: Path) -> dict[str, Any]:
    """Take the weights of a Hugging Face folder as one bf16 file, its configuration whole, and its tokenizer."""
    config = admission.read_config(source, folder)
    _write_config(folder, draft, config)
    folder_tokenizer.write(source, folder, draft)
    folder_weights.join(source, folder, draft / folder_weights.WHOLE, tied=bool(config.tie_word_embeddings))
    about = card.metadata(folder)
    return {
        "name": folder.name,
        "license": str(about.get("license", "unknown")),
        "languages": card.as_list(about.get("language")),
    }


def _write_config(folder: Path, draft: Path, config: PreTrainedConfig) -> None:
    """As it is, with what the family's configuration leaves out where it has the usual value."""
    plain = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    usual = {name: getattr(config, name, None) for name in OFTEN_LEFT_OUT}
    settled = {name: value for name, value in usual.items() if value is not None}
    (draft / "config.json").write_text(json.dumps({**settled, **plain, "dtype": "bfloat16"}, indent=1))
    generation = folder / "generation_config.json"
    if generation.exists():
        shutil.copyfile(generation, draft / generation.name)
