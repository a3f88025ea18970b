"""`make bench ARGS="human --data FOLDER"`: the reward model on published rankings by people, beside two floors.

For each file: the share of held-out pairs that the reward model puts in the right order, at growing shares of the
training pairs; what a linear head on the frozen base does with the same pairs; that the longer reply wins; a bag of
words; and how much better than these floors a learner is, pair by pair. Intervals resample prompts. Called again, it
goes on where it stopped.
"""

import argparse
import functools
import itertools
import json
import os
import random
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.training.process import prepare_process
from tests.bench import human_files, human_floors, human_learning, human_report
from tests.bench.human_learning import HeldOutPair, Material
from tests.bench.human_report import Curve
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
    prepare_process(options.threads)
    reports = [_measure(name, options) for name in options.only if (options.data / FILES[name][0]).exists()]
    if options.json:
        sys.stdout.write(json.dumps(reports) + "\n")
    else:
        for report in reports:
            human_report.show(report)
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench human", description=__doc__)
    home = Path(os.environ.get("CHAMSAE_HOME", ROOT / "var"))
    parser.add_argument("--data", type=Path, help=f"folder with {', '.join(file for file, _ in FILES.values())}")
    parser.add_argument("--only", nargs="+", choices=list(FILES), default=list(FILES), metavar="FILE")
    parser.add_argument("--policy", type=Path, help="policy directory (default: the first fetched one)")
    parser.add_argument("--work", type=Path, default=home / "bench" / "human", help="keeps states and results")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--held-out", type=float, default=0.25, help="share of dialogues to measure on")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.3, 1.0], help="of the training pairs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="each holds out other dialogues")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a hyperparameter")
    parser.add_argument("--json", action="store_true", help="one JSON list instead of tables")
    options = parser.parse_args(arguments)
    options.policy = (options.policy or first_policy(home / "models")).absolute()
    options.settings = {key: json.loads(value) for key, value in (one.split("=", 1) for one in options.set)}
    return options


def say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def _measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    file, read = FILES[name]
    lines = read(options.data / file)
    folder = options.work / file.split(".")[0]
    say(f"{name}: {len(lines)} rankings")
    started, used = time.monotonic(), _cpu_seconds()
    material = human_learning.prepare(lines, options.policy, folder, options.settings, say)
    known = set(material.ids)
    sides = {
        seed: _sides([line for line in lines if line["id"] in known], options.held_out, seed)
        for seed in options.seeds
    }
    floors = human_report.merged({seed: _floors(*both) for seed, both in sides.items()})
    curves = _curves(material, sides, folder, options)
    spent = {"seconds": round(time.monotonic() - started), "cpu_seconds": round(_cpu_seconds() - used)}
    about = {"name": name, "seeds": options.seeds, "settings": options.settings}
    return {**about, **spent, **human_report.figures(floors, curves)}


def _curves(
    material: Material, sides: dict[int, tuple[list[Any], list[Any]]], folder: Path, options: argparse.Namespace
) -> dict[str, Curve]:
    """Of both learners, the quick one first."""
    kept = Kept(folder / "results.json", [str(options.policy), options.held_out, vars(material.config)])
    where = human_learning.states_in(folder, material.config) / "features.npy"
    features = human_learning.frozen_features(material, where, say)
    learners = {
        "linear_head": lambda some, others, seed: human_learning.learn_linear(material, features, some, others),
        "reward_model": functools.partial(_learn, material),
    }
    curves: dict[str, Curve] = {learner: {share: {} for share in options.shares} for learner in learners}
    for learner, learn in learners.items():
        for seed, share in itertools.product(options.seeds, options.shares):
            trained, asked = sides[seed]
            some = _ids(trained[: max(1, round(share * len(trained)))])
            make = functools.partial(learn, some, _ids(asked), seed)
            curves[learner][share][seed] = kept.or_made([learner, seed, share], make)
    return curves


def _learn(material: Material, some: set[str], others: set[str], seed: int) -> list[HeldOutPair]:
    say(f"seed {seed}: the reward model on {len(some)} of {len(material.ids)} rankings")
    return human_learning.learn(material, some, others, seed, say)


def _sides(lines: Sequence[dict[str, Any]], held_out: float, seed: int) -> tuple[list[Any], list[Any]]:
    """(in a seeded order to train on, to measure on)"""
    divided = human_files.split(list(lines), held_out, seed)
    trained, asked = ([line for line in divided if line["split"] == side] for side in ("train", "held_out"))
    random.Random(seed).shuffle(trained)
    return trained, asked


def _ids(lines: Sequence[dict[str, Any]]) -> set[str]:
    return {line["id"] for line in lines}


def _floors(trained: list[Any], asked: list[Any]) -> dict[str, dict[human_learning.Place, float]]:
    learned, pairs = human_floors.pairs_of(trained), human_floors.pairs_of(asked)
    right = {
        "longer_wins": human_floors.longer_wins(pairs),
        "bag_of_words": human_floors.bag_of_words(learned, pairs),
    }
    return {name: {p.place: value for p, value in zip(pairs, found, strict=True)} for name, found in right.items()}


class Kept:
    """Results of trainings that ended, by seed and share; those of other settings are not looked at."""

    def __init__(self, path: Path, settings: Sequence[Any]) -> None:
        self.path, self.settings = path, json.dumps(settings, default=str, sort_keys=True)
        self.all: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def or_made(self, key: Sequence[Any], make: Any) -> list[HeldOutPair]:
        name = f"{json.dumps(key)} {self.settings}"
        if name not in self.all:
            self.all[name] = make()
            draft = self.path.with_suffix(".tmp")
            draft.write_text(json.dumps(self.all))
            draft.replace(self.path)
        return [HeldOutPair(prompt, tuple(place), *rest) for prompt, place, *rest in self.all[name]]


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
