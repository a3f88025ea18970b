"""The report of a simulated course: what trust says of each quality of annotators beside what is true, as tables."""

from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 140
TITLE = "S I M U L A T E D   C O U R S E"


def render(result: Mapping[str, Any]) -> str:
    printed = Console(file=StringIO(), width=WIDTH, highlight=False)
    printed.print(f"\n{TITLE}\n", markup=False)
    for line in _about(result):
        printed.print(line, markup=False)
    printed.print(_people(result))
    printed.print(_learnt(result["learnt"]))
    for demand in result["demands"]:
        printed.print(
            f"  {'met' if demand['is_met'] else 'NOT MET'}: {demand['name']}: {demand['figure']}", markup=False
        )
    printed.print(f"\nEverything is stored in {result['home']}", soft_wrap=True, markup=False)
    assert isinstance(printed.file, StringIO)
    return printed.file.getvalue()


def _about(result: Mapping[str, Any]) -> Iterator[str]:
    plan = result["plan"]
    yield (
        f"{plan['people']} people, {plan['items']} items of {plan['replies']} replies, {plan['overlap']} judgements "
        f"of each, {plan['gold']} known answers, seed {plan['seed']}: {result['judgements']} judgements"
    )
    for row in result["agreement"]:
        yield f"Krippendorff's alpha, {row['about']}: {row['alpha']} [{row['low']}, {row['high']}]"
    yield f"Snapshot: {result['snapshot']['rankings']} rankings; exported: {result['exported']['rows']} pairs"


def _people(result: Mapping[str, Any]) -> Table:
    table = Table(width=WIDTH)
    for name in (
        "quality",
        "people",
        "known answers passed",
        "accuracy, estimated",
        "accuracy, true",
        "weight",
        "weigh nothing",
        "share of training",
        "findings",
    ):
        table.add_column(name)
    for quality, figures in result["qualities"].items():
        found, known = result["found"][quality], result["known_answers"].get(quality, {})
        table.add_row(
            quality,
            str(found["people"]),
            str(known.get("passed", "-")),
            str(figures["accuracy"]),
            str(figures["true_accuracy"]),
            str(figures["weight"]),
            str(found["weigh_nothing"]),
            f"{figures['share_of_training']:.1%}",
            ", ".join(f"{kind} {count}" for kind, count in found["findings"].items()),
        )
    return table


def _learnt(learnt: Mapping[str, Any]) -> Table:
    table = Table(title="Linear reward model, on unseen items, by the hidden taste")
    for name in ("learnt from", "accuracy", "reward of the reply it chooses", "gain kept: accuracy", "reward"):
        table.add_column(name)
    for arm, words in (("honest", "honest people alone"), ("raw", "all, unweighted"), ("weighted", "all, weighted")):
        kept = learnt["kept"].get(arm, {"accuracy": 1.0, "reward_of_chosen": 1.0})
        table.add_row(
            words,
            f"{learnt[arm]['accuracy']:.3f}",
            f"{learnt[arm]['reward_of_chosen']:.3f}",
            f"{kept['accuracy']:.3f}",
            f"{kept['reward_of_chosen']:.3f}",
        )
    return table
