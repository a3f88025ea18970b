"""The adapter in a policy directory: a folder in PEFT's form, with the weights over which it was trained.

It is a folder because transformers takes an `adapter_config.json` beside the weights for a request to load the base.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from rlhf.training.artefacts import checkpoints
from rlhf.training.model.adapter import CONFIG_FILE, WEIGHTS_FILE, Adapter

FOLDER, BASE = "adapter", "base.json"


@dataclass(frozen=True)
class PolicyAdapter:
    """What the folder says, without its tensors."""

    directory: Path
    """Of the adapter, which PEFT loads."""
    policy: str
    sha256: str
    """Of its tensors."""
    base: str
    """Directory name of the policy that it changes."""
    base_sha256: str
    rank: int
    alpha: float
    layers: tuple[int, ...]


def write(draft: Path, adapter: Adapter, *, base: str, base_sha256: str) -> None:
    """Into a policy directory before it is sealed."""
    folder = draft / FOLDER
    adapter.save(folder, base=base)
    (folder / BASE).write_text(json.dumps({"base": base, "base_sha256": base_sha256}))


def read(policy: Path) -> PolicyAdapter | None:
    """None of a policy without one: a base, a model of somebody's own, or one from before adapters were kept."""
    folder = policy / FOLDER
    if not (folder / CONFIG_FILE).exists():
        return None
    config, about = (json.loads((folder / name).read_text()) for name in (CONFIG_FILE, BASE))
    files = json.loads((policy / checkpoints.MANIFEST).read_text())["files"]
    return PolicyAdapter(
        directory=folder,
        policy=policy.name,
        sha256=str(files[f"{FOLDER}/{WEIGHTS_FILE}"]["sha256"]),
        base=str(about["base"]),
        base_sha256=str(about["base_sha256"]),
        rank=int(config["r"]),
        alpha=float(config["lora_alpha"]),
        layers=tuple(config["layers_to_transform"]),
    )


def layers_over(start: str | None, asked: int) -> int:
    """How many layers the top of a reward model or a way must have: as many as asked for, or as the adapter of the
    policy directory `start` changes, if these are more. The layers below are the base's for all adapters."""
    found = read(Path(start)) if start else None
    return max(asked, 0 if found is None else len(found.layers))
