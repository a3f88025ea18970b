"""The report of a simulated site: every cycle beside the last one and the original base, as a table."""

from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 150
TITLE = "S I M U L A T E D   P E O P L E"
COLUMNS = (
    "cycle",
    "gold reward",
    "gold wins, base",
    "win rate, live",
    "KL",
    "KL, base",
    "words",
    "rules broken",
    "gate",
)
Cycle = Mapping[str, Any]


def render(result: Mapping[str, Any]) -> str:
    printed = Console(file=StringIO(), width=WIDTH, highlight=False)
    printed.print(f"\n{TITLE}\n", markup=False)
    printed.print(_people(result), markup=False)
    printed.print(_table(result["cycles"]))
    for line in _why(result["cycles"]):
        printed.print(line, markup=False)
    printed.print(
        "Gold: by the hidden tastes of the honest people themselves; before -> after. The base is at reward 0 and "
        "wins 0.5. What colluding people want counts nowhere in it.",
        markup=False,
    )
    for demand in result["demands"]:
        outcome = {True: "met", False: "NOT MET", None: "nothing was promoted"}[demand["is_met"]]
        printed.print(f"  {outcome}: {demand['name']}: {'; '.join(demand['figures'])}", markup=False, soft_wrap=True)
    printed.print(f"\nEverything is stored in {result['home']}", soft_wrap=True, markup=False)
    assert isinstance(printed.file, StringIO)
    return printed.file.getvalue()


def _people(result: Mapping[str, Any]) -> str:
    population = result["population"]
    return (
        f"{population['people']} people, {result['colluding']} of them colluding, tastes "
        f"{', '.join(population['preferences'])}, {population['noise']:.0%} mistakes on average, "
        f"{population['rankings']} rankings each a cycle, seed {population['seed']}"
    )


def _table(cycles: Sequence[Cycle]) -> Table:
    table = Table(width=WIDTH)
    for name in COLUMNS:
        table.add_column(name)
    if cycles:
        base = cycles[0]["gold"]["base"]
        table.add_row("base", "0", "0.5", "", "0", "0", _number(base, "words"), _number(base, "violations"), "")
    for cycle in cycles:
        table.add_row(*_row(cycle))
    return table


def _row(cycle: Cycle) -> Iterator[str]:
    before, after = cycle["gold"]["live_before"], cycle["gold"]["candidate"]
    yield str(cycle["cycle"])
    yield _change(before, after, "reward")
    yield _change(before, after, "wins_against_base")
    low, high = _number(cycle, "win_rate_low"), _number(cycle, "win_rate_high")
    yield f"{_number(cycle, 'win_rate')} [{low}, {high}]"
    yield _number(cycle, "kl_nats")
    yield _number(cycle, "anchor_kl_nats" if cycle.get("anchor_kl_nats") is not None else "kl_nats")
    yield _change(before, after, "words")
    yield _change(before, after, "violations")
    yield "promoted" if cycle["promoted"] else "passed" if cycle["passed"] else "refused"


def _why(cycles: Sequence[Cycle]) -> Iterator[str]:
    for cycle in cycles:
        yield from (f"  cycle {cycle['cycle']} was refused: {reason}" for reason in cycle["why"])


def _change(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, name: str) -> str:
    return f"{_number(before, name)} -> {_number(after, name)}"


def _number(values: Mapping[str, Any] | None, name: str) -> str:
    value = (values or {}).get(name)
    return "-" if value is None else f"{value:.2f}"
