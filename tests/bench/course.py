"""`make bench ARGS="course"`: simulated courses of several seeds; what attackers cost with weights and without."""

import argparse
import json
import subprocess
import sys
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.site import ROOT


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench course", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", action="store_true")
    options, handed_on = parser.parse_known_args(arguments)
    results = [_course(seed, handed_on) for seed in options.seeds]
    if options.json:
        sys.stdout.write(json.dumps(results) + "\n")
    else:
        Console(width=130).print(_table(results))
    return int(not all(demand["is_met"] for result in results for demand in result["demands"]))


def _course(seed: int, handed_on: list[str]) -> dict[str, Any]:
    """What the command prints; raises SystemExit where it printed nothing."""
    command = [sys.executable, "manage.py", "simulate_course", "--json", "--seed", str(seed), *handed_on]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if not done.stdout.strip():
        raise SystemExit(done.returncode)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if "error" in found:
        raise SystemExit(found["error"]["message"])
    return found


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table(title="Simulated courses: a linear reward model's accuracy by the hidden taste")
    for name in ("seed", "honest alone", "raw", "weighted", "kept, raw", "kept, weighted", "demands not met"):
        table.add_column(name)
    for result in results:
        learnt, kept = result["learnt"], result["learnt"]["kept"]
        missed = [demand["name"] for demand in result["demands"] if not demand["is_met"]]
        arms = [f"{learnt[arm]['accuracy']:.3f}" for arm in ("honest", "raw", "weighted")]
        shares = [f"{kept[arm]['accuracy']:.3f}" for arm in ("raw", "weighted")]
        table.add_row(str(result["plan"]["seed"]), *arms, *shares, "; ".join(missed) or "-")
    means = [fmean(r["learnt"][arm]["accuracy"] for r in results) for arm in ("honest", "raw", "weighted")]
    kept_means = [fmean(r["learnt"]["kept"][arm]["accuracy"] for r in results) for arm in ("raw", "weighted")]
    table.add_row("mean", *(f"{mean:.3f}" for mean in (*means, *kept_means)), "")
    return table
