"""Resident memory of the reward model's stage at two sizes, and what that makes of 100,000 rankings.

`python -m tests.bench.reward_memory [--base POLICY] [--rankings 1000 3000]`: each size runs in a process of its own.
Without a base, a tiny random model: the states of a real one stand on the disk and only make the model itself larger.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.rlhf.training.planted import seal

TARGET = 100_000
REPLIES = 4
WORDS = (
    *("the", "bird", "a", "star", "song", "my", "day", "light", "water", "sings"),
    *("feels", "cold", "warm", "small", "green", "over", "under", "again", "today"),
)


def write_snapshot(directory: Path, rankings: int) -> Path:
    """Rankings of four replies of some 60 words to prompts of 20, a fifth of them held out."""
    draw = random.Random(0)
    directory.mkdir(parents=True)
    with (directory / "rankings.jsonl").open("w") as file:
        for number in range(rankings):
            file.write(json.dumps(_ranking(draw, number)) + "\n")
    for name in ("violations.jsonl", "prompts.jsonl", "preferences.jsonl"):
        (directory / name).touch()
    (directory / "rules.json").write_text("[]")
    seal(directory)
    return directory


def _ranking(draw: random.Random, number: int) -> dict[str, Any]:
    texts = [" ".join(draw.choices(WORDS, k=draw.randrange(30, 90))) + "." for _ in range(REPLIES)]
    return {
        "id": number,
        "prompt": [{"role": "user", "content": f"{number} " + " ".join(draw.choices(WORDS, k=20))}],
        "completions": [{"text": text, "finish_reason": "stop"} for text in texts],
        "ranks": draw.sample(range(1, REPLIES + 1), REPLIES),
        "split": "held_out" if number % 5 == 0 else "train",
    }


def measure(base: Path, rankings: int) -> dict[str, Any]:
    """Runs the stage in a child and reads its peak memory and the size of the states as they are removed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        config = {
            "base": str(base),
            "snapshot": str(write_snapshot(path / "snapshot", rankings)),
            "output": str(path / "out"),
            "splits": ["train"],
            "hyperparameters": {"epochs": 1, "rankings_per_step": 16, "log_every": 1000, "checkpoint_every": 100_000},
        }
        (path / "config.json").write_text(json.dumps(config))
        child = subprocess.Popen([sys.executable, "-m", "rlhf.training", "reward_model", folder])
        largest = 0
        while child.poll() is None:
            largest = max(largest, sum(file.stat().st_size for file in path.glob("states/*/states")))
            time.sleep(0.5)
        if child.returncode:
            raise SystemExit(child.returncode)
        result = json.loads((path / "result.json").read_text())
    return {
        "rankings": rankings,
        "peak_memory_mb": result["peak_memory_mb"],
        "states_on_disk_mb": round(largest / 2**20, 1),
        "seconds": result["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="a policy directory; without one, a tiny random model")
    parser.add_argument("--rankings", type=int, nargs="+", default=[1000, 3000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = options.base or _tiny(Path(folder) / "tiny")
        found = [measure(base, rankings) for rankings in options.rankings]
    for row in found:
        sys.stdout.write(json.dumps(row) + "\n")
    first, last = found[0], found[-1]
    if last["rankings"] > first["rankings"]:
        slope = (last["peak_memory_mb"] - first["peak_memory_mb"]) / (last["rankings"] - first["rankings"])
        expected = last["peak_memory_mb"] + slope * (TARGET - last["rankings"])
        sys.stdout.write(f"{1024 * slope:.1f} KiB a ranking; {expected:,.0f} MB at {TARGET:,} rankings\n")


def _tiny(path: Path) -> Path:
    from tests.tiny import make_tiny_policy

    return make_tiny_policy(path)


if __name__ == "__main__":
    main()
