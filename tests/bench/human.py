"""`make bench ARGS="human --data FOLDER"`: the reward model on published rankings by people, beside two floors.

For each file: the share of held-out pairs that the reward model puts in the right order, with an interval that
resamples prompts, at growing shares of the training pairs; that the longer reply wins; and a bag of words.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rlhf.training.statistics import Interval, cluster_bootstrap
from tests.bench import human_files, human_floors
from tests.bench.ppo import first_policy

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "hh-rlhf harmless": ("hh_harmless_dev.jsonl.gz", human_files.hh_rlhf),
    "Open-Assistant": ("oasst_trees_dev.jsonl", human_files.open_assistant),
}


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    if options.data is None or not options.data.is_dir():
        sys.stdout.write("The rankings are no part of this project. Name a folder that holds them: --data FOLDER\n")
        return 2
    reports = [_measure(name, options) for name in FILES if (options.data / FILES[name][0]).exists()]
    if options.json:
        sys.stdout.write(json.dumps(reports) + "\n")
    else:
        for report in reports:
            Console(stderr=False).print(_table(report))
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench human", description=__doc__)
    home = Path(os.environ.get("CHAMSAE_HOME", ROOT / "var"))
    parser.add_argument("--data", type=Path, help=f"folder with {', '.join(file for file, _ in FILES.values())}")
    parser.add_argument("--policy", type=Path, help="policy directory (default: the first fetched one)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--held-out", type=float, default=0.25, help="share of dialogues to measure on")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5, 1.0], help="of the training pairs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a hyperparameter")
    parser.add_argument("--json", action="store_true", help="one JSON list instead of tables")
    options = parser.parse_args(arguments)
    options.policy = options.policy or first_policy(home / "models")
    return options


def _measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    file, read = FILES[name]
    lines = human_files.split(read(options.data / file), options.held_out, options.seed)
    trained, held_out = ([line for line in lines if line["split"] == side] for side in ("train", "held_out"))
    learned, asked = human_floors.pairs_of(trained), human_floors.pairs_of(held_out)
    prompts = [pair.prompt for pair in asked]
    random.Random(options.seed).shuffle(trained)
    return {
        "name": name,
        "trained_pairs": len(learned),
        "held_out_pairs": len(asked),
        "longer_wins": _interval(cluster_bootstrap(human_floors.longer_wins(asked), prompts)),
        "bag_of_words": _interval(cluster_bootstrap(human_floors.bag_of_words(learned, asked), prompts)),
        "reward_model": [
            {"share": share, **_train(trained[: round(share * len(trained))] + held_out, options)}
            for share in options.shares
        ],
    }


def _interval(found: Interval) -> dict[str, float]:
    return {"accuracy": found.value, "accuracy_low": found.low, "accuracy_high": found.high}


def _train(lines: Sequence[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own, as the site does it; raises CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="human-") as name:
        folder = Path(name)
        human_files.write_snapshot(folder / "snapshot", list(lines))
        config = {
            "base": str(options.policy.absolute()),
            "output": str(folder / "reward_model"),
            "snapshot": str(folder / "snapshot"),
            "splits": ["train"],
            "seed": options.seed,
            "threads": options.threads,
            "hyperparameters": {key: json.loads(value) for key, value in (one.split("=", 1) for one in options.set)},
        }
        (folder / "config.json").write_text(json.dumps(config))
        command = [sys.executable, "-m", "rlhf.training", "reward_model", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        result = json.loads((folder / "result.json").read_text())
    kept = ("trained_pairs", "accuracy", "accuracy_low", "accuracy_high", "length_correlation")
    return {key: result.get(key) for key in (*kept, "seconds", "peak_memory_mb")}


def _table(report: dict[str, Any]) -> Table:
    about = f"{report['name']}: {report['trained_pairs']} pairs to train on, {report['held_out_pairs']} to measure on"
    table = Table(title=about)
    for title in ("", "pairs trained on", "right order", "seconds", "MiB"):
        table.add_column(title, justify="left" if not title else "right")
    table.add_row("the longer wins", "", _words_of(report["longer_wins"]), "", "")
    table.add_row("bag of words", str(report["trained_pairs"]), _words_of(report["bag_of_words"]), "", "")
    for row in report["reward_model"]:
        seconds, memory = f"{row['seconds']:.0f}", f"{row['peak_memory_mb']:.0f}"
        table.add_row("reward model", str(row["trained_pairs"]), _words_of(row), seconds, memory)
    return table


def _words_of(row: dict[str, Any]) -> str:
    return f"{row['accuracy']:.3f} [{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}]"
