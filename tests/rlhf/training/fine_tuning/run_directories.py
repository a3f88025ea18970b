"""Files to fine-tune on, and runs on them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.training.run import RunDirectory

WORDS = ("star", "rainbow", "rice", "bird", "sun", "water", "song", "family", "body", "music", "light", "gas")
PAIRS = [
    {"prompt": f"What is {word}? ->", "completion": f" {WORDS[-index - 1]} and {word}\n"}
    for index, word in enumerate(WORDS)
]
CHATS = [
    {
        "messages": [
            {"role": "user", "content": f"What is {word}?"},
            {"role": "assistant", "content": f"{WORDS[-index - 1]} and {word}"},
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": f"{word} is {word}."},
        ]
    }
    for index, word in enumerate(WORDS)
]
PREFERENCES = [
    {"prompt": [{"role": "user", "content": f"What is {word}?"}], "chosen": f"A {word}.", "rejected": "I feel happy"}
    for word in WORDS
]
FILES = {"prompt_completion": PAIRS, "messages": CHATS, "preference": PREFERENCES}


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def fine_tune(folder: Path, base: Path, *, form: str = "prompt_completion", **config: Any) -> RunDirectory:
    """A run's directory, ready to start; made once, so that a second call goes on in it."""
    folder.mkdir(exist_ok=True)
    rows = config.pop("rows", FILES[form])
    values = {"n_epochs": 2, "batch_size": 4, "rank": 2} | config.pop("hyperparameters", {})
    written = {
        "base": str(base),
        "output": str(folder / "tuned"),
        "data": str(write(folder / "data.jsonl", rows)),
        "validation": None,
        "method": "supervised",
        "scope": "lora",
        "form": form,
        "seed": 3,
        "threads": 1,
        "hyperparameters": values,
        **config,
    }
    (folder / "config.json").write_text(json.dumps(written))
    return RunDirectory(folder)


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
