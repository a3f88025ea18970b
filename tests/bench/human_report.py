"""The figures of the bench on people's rankings: shares in the right order, and how far above the floors."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from rlhf.training.statistics import cluster_bootstrap
from tests.bench import human_floors
from tests.bench.human_learning import HeldOutPair, Place

FLOORS = {"longer_wins": "the longer wins", "bag_of_words": "bag of words"}
LEARNERS = {"linear_head": "linear head, frozen base", "reward_model": "reward model"}
Right = dict[tuple[int, Place], float]
"""By seed and pair: whether it is put in the right order."""
Curve = dict[float, dict[int, list[HeldOutPair]]]
"""Held-out pairs by share of the training rankings and by seed."""
Asked = Sequence[tuple[int, HeldOutPair]]


def merged(by_seed: Mapping[int, Mapping[str, Mapping[Place, float]]]) -> dict[str, Right]:
    """Floors of each seed, floor by floor."""
    return {
        floor: {(seed, place): value for seed, found in by_seed.items() for place, value in found[floor].items()}
        for floor in FLOORS
    }


def figures(floors: Mapping[str, Right], curves: Mapping[str, Curve]) -> dict[str, Any]:
    """All on the same pairs: those that the floors can tell apart, too."""
    rows = {
        learner: [_row(share, found, floors) for share, found in curve.items()] for learner, curve in curves.items()
    }
    asked = _asked(next(iter(curves["reward_model"].values())), floors)
    prompts = [pair.prompt for _, pair in asked]
    of_floors = {
        floor: _interval([right[seed, pair.place] for seed, pair in asked], prompts)
        for floor, right in floors.items()
    }
    return {**of_floors, **rows}


def _row(share: float, by_seed: Mapping[int, list[HeldOutPair]], floors: Mapping[str, Right]) -> dict[str, Any]:
    asked = _asked(by_seed, floors)
    prompts = [pair.prompt for _, pair in asked]
    right = [pair.right for _, pair in asked]
    beside = human_floors.with_length([p.margin for _, p in asked], [p.longer for _, p in asked], prompts)
    above = {
        floor: [one - found[seed, pair.place] for one, (seed, pair) in zip(right, asked, strict=True)]
        for floor, found in floors.items()
    }
    return {
        "share": share,
        "held_out_pairs": len(asked),
        **_interval(right, prompts),
        "with_length": _interval(beside, prompts),
        "better_than": {floor: _interval(found, prompts) for floor, found in above.items()},
    }


def _asked(by_seed: Mapping[int, list[HeldOutPair]], floors: Mapping[str, Right]) -> Asked:
    known = floors["longer_wins"]
    return [(seed, pair) for seed, found in by_seed.items() for pair in found if (seed, pair.place) in known]


def _interval(values: Sequence[float], prompts: Sequence[str]) -> dict[str, float]:
    found = cluster_bootstrap(values, prompts)
    return {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4)}


def show(report: Mapping[str, Any]) -> None:
    best = max(FLOORS, key=lambda floor: report[floor]["value"])
    last = {learner: report[learner][-1] for learner in LEARNERS}
    pairs = last["reward_model"]["held_out_pairs"]
    table = Table(title=f"{report['name']}: {pairs} held-out pairs, seeds {report['seeds']}", title_justify="left")
    for title in ("", "training pairs", "right order", "with the length beside it", f"better than {FLOORS[best]} by"):
        table.add_column(title, justify="left" if not title else "right")
    for floor, name in FLOORS.items():
        table.add_row(name, "", _words_of(report[floor]), "", "")
    for learner, name in LEARNERS.items():
        for row in report[learner]:
            found = (row, row["with_length"], row["better_than"][best])
            table.add_row(name, f"{row['share']:.0%}", *map(_words_of, found))
    console = Console(width=118)
    console.print(table)
    for learner, name in LEARNERS.items():
        console.print(f"  {_verdict(name, last[learner]['better_than'][best], FLOORS[best])}", markup=False)
    console.print(f"  {report['seconds']} s, {report['cpu_seconds']} s of CPU in this call", markup=False)


def _verdict(learner: str, better: Mapping[str, float], floor: str) -> str:
    if better["low"] > 0:
        return f"{learner}: better than the higher floor ({floor}), the interval of the difference lies above 0."
    if better["high"] < 0:
        return f"{learner}: BELOW THE FLOOR, worse than {floor}, the interval of the difference lies below 0."
    return f"{learner}: NOT ABOVE THE FLOOR, these pairs do not tell it from {floor}."


def _words_of(row: Mapping[str, float]) -> str:
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
