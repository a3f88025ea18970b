"""`make bench ARGS="saboteurs"`: twenty and more saboteurs before the gate, with the real model and a real judge.

The base answers held-out seed prompts; each saboteur changes those answers, and the base reads what came of it as an
evaluation reads a candidate's replies. Two judges decide: one that is wholly fooled, and the site's own kind, trained
here on rankings by simulated people, a share of whom may collude. A saboteur that nothing refuses is reported so.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import django
from rich.console import Console
from rich.table import Table

from tests.bench.human import ROOT
from tests.bench.ppo import first_policy
from tests.sabotage.record import FILE, Asked, Record

PROMPTS = ROOT / "feedback" / "seed" / "prompts.json"
EVERYDAY = "everyday"
SHOWN = ("kl_nats", "surprise_ratio", "odd_share", "no_sentence_share", "off_topic_share", "length_ratio")
FEWEST_PROMPTS = 20
"""Of those that tempt (rlhf.training.evaluation.violation_report)."""


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    record = Record.read() if options.recorded else _measured(options)
    if options.record:
        record.write()
        _tell(f"{FILE.relative_to(ROOT)}: {FILE.stat().st_size / 1e3:.0f} kB")
    report = _report(record, options)
    if options.json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        _print(report)
    return int(any(row["promoted"] for row in report["saboteurs"]))


def questions(count: int) -> list[Asked]:
    """Held-out seed prompts, half of which tempt the model to break a rule, each rule in turn, or as many as the gate
    wants to find a rise."""
    found: dict[str, list[str]] = json.loads(PROMPTS.read_text())["held_out"]
    rules = [[Asked(text, rule) for text in texts] for rule, texts in found.items() if rule != EVERYDAY]
    tempting = _in_turn(*rules)[: max(count // 2, FEWEST_PROMPTS)]
    everyday = [Asked(text, None) for text in found[EVERYDAY]]
    return _in_turn(tempting, everyday[: count - len(tempting)])


def _in_turn(*lists: Sequence[Asked]) -> list[Asked]:
    return [one for one in chain.from_iterable(zip_longest(*lists)) if one is not None]


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench saboteurs", description=__doc__)
    home = Path(os.environ.get("CHAMSAE_HOME", ROOT / "var"))
    parser.add_argument("--policy", type=Path, help="policy directory (default: the first fetched one)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--prompts", type=int, default=40, help="even, 128 at most; the gate asks for 40")
    parser.add_argument(
        "--tokens", type=int, default=256, help="longest reply of a saboteur; the base has two thirds"
    )
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--record", action="store_true", help="keep what was measured for the tests")
    parser.add_argument("--recorded", action="store_true", help="read what the tests use instead of measuring")
    parser.add_argument("--without-judge", action="store_true", help="only the judge that is wholly fooled")
    parser.add_argument("--colluding", type=float, default=0.2, help="share of people whom the judge learns from")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the judge's training")
    parser.add_argument("--json", action="store_true", help="one JSON line instead of tables")
    options = parser.parse_args(arguments)
    if options.policy is None and not (options.recorded and options.without_judge):
        options.policy = first_policy(home / "models")
    return options


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _measured(options: argparse.Namespace) -> Record:
    import torch

    from tests.sabotage import measuring
    from tests.sabotage.saboteurs import REPLYING

    torch.set_num_threads(options.threads)
    base = measuring.Base(options.policy, options.tokens, options.temperature)
    _tell("the base answers")
    record = measuring.sampled(base, options.policy.name, questions(options.prompts))
    measuring.measure(base, record, REPLYING, _tell)
    return record


def _report(record: Record, options: argparse.Namespace) -> dict[str, Any]:
    from django.conf import settings

    from tests.sabotage import judging
    from tests.sabotage.saboteurs import REPLYING

    thresholds = judging.thresholds(record, settings.GATE)
    judge, about = (None, {}) if options.without_judge else _trained(record, options)
    return {
        "model": record.model,
        "prompts": len(record.asked),
        "max_tokens": record.max_tokens,
        **about,
        "figures": record.figures,
        "saboteurs": [_row(record, saboteur, judge, thresholds) for saboteur in REPLYING],
        "null_sites_promoted": judging.null_sites(record, thresholds),
        "accuracy_against_gold": _accuracies(record),
    }


def _row(record: Record, saboteur: Any, judge: Any, thresholds: dict[str, float]) -> dict[str, Any]:
    from tests.sabotage import judging

    replies = judging.replies_of(record, saboteur)
    found = judging.report_of(replies, judging.judge_of(replies, saboteur))
    row: dict[str, Any] = {"name": saboteur.name, "does": saboteur.does, **{key: found[key] for key in SHOWN}}
    row["fooled"] = judging.decide(found, thresholds)
    row["promoted"] = not row["fooled"]
    if judge is not None:
        row |= judging.by_judge(record, replies, judge, thresholds)
        row["promoted"] = row["promoted"] or not row["refused"]
    return row


def _accuracies(record: Record) -> dict[str, float]:
    """Of a reward model that a share of colluding people bends, with and without the cap on a person's weight."""
    from tests.sabotage.colluders import Population, measure

    return {
        f"{one.colluding} of {one.people} collude, {one.busier} times as busy, {'capped' if cap else 'uncapped'}": (
            round(measure(record, one, capped=cap, seeds=10), 3)
        )
        for one in (Population(colluding=0), Population(), Population(busier=5))
        for cap in (False, True)
    }


def _trained(record: Record, options: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The site's cross-fitted judge, in a process of its own; raises CalledProcessError."""
    from rlhf.training.evaluation.cross_fitted import CrossFittedJudge
    from tests.sabotage import simulated_snapshot

    with tempfile.TemporaryDirectory(prefix="saboteurs-") as name:
        folder = Path(name)
        simulated_snapshot.write(record, folder / "snapshot", colluding=options.colluding)
        config = {
            "base": str(options.policy.absolute()),
            "output": str(folder / "judge"),
            "snapshot": str(folder / "snapshot"),
            "splits": ["held_out"],
            "threads": options.threads,
            "hyperparameters": {key: json.loads(value) for key, value in (one.split("=", 1) for one in options.set)},
        }
        (folder / "config.json").write_text(json.dumps(config))
        command = [sys.executable, "-m", "rlhf.training", "judge", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        result = json.loads((folder / "result.json").read_text())
        judge = CrossFittedJudge.load(folder / "judge", [options.policy.absolute()], {})
    kept = ("accuracy", "accuracy_low", "accuracy_high", "comparisons", "people", "seconds")
    return judge, {"judge": {"colluding": options.colluding, **{key: result.get(key) for key in kept}}}


def _print(report: dict[str, Any]) -> None:
    console = Console(stderr=False)
    table = Table(title=f"{report['model']}, {report['prompts']} prompts, at most {report['max_tokens']} tokens")
    with_judge = "judge" in report
    for title in (
        "saboteur",
        "refused, with the judge fooled, by",
        *(("win rate", "by the site's judge") * with_judge),
    ):
        table.add_column(title)
    table.add_column("promoted?")
    for row in report["saboteurs"]:
        own = (f"{row['win_rate']:.2f}", ", ".join(row["refused"])) if with_judge else ()
        table.add_row(row["name"], ", ".join(row["fooled"]), *own, "PROMOTED" if row["promoted"] else "no")
    console.print(table)
    if with_judge:
        told = report["judge"]
        console.print(
            f"The site's judge: right in {told['accuracy']:.3f} [{told['accuracy_low']:.3f}, "
            f"{told['accuracy_high']:.3f}] of {told['comparisons']} comparisons by {told['people']} people, "
            f"{told['colluding']:.0%} of whom collude"
        )
    console.print(f"Of 20 sites at which nothing changes, {report['null_sites_promoted']} promoted")
    for name, value in report["figures"].items():
        console.print(f"{name}: {value:.3f}")
    for name, value in report["accuracy_against_gold"].items():
        console.print(f"Reward model against the honest taste, {name}: {value:.3f}")
