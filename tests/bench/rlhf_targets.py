"""The targets of `make bench-rlhf`, stated before any run, and the table of all figures beside them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

from config.demo.arms import EVERYTHING, RULE_ONLY, FigureBound
from rlhf.release.report_values import number_at

WIDTH = 118
Result = Mapping[str, Any]
"""Of one seed and taste: what rlhf_cell gave, with `seed`, `taste`, `about_content` and `seen_before`."""


def _known(name: str) -> FigureBound:
    """A figure as the demo's floors read it."""
    return next(bound for arm in (EVERYTHING, RULE_ONLY) for bound in arm.floors if bound.name == name)


def _at(*path: str) -> Callable[[Result], float | None]:
    return lambda result: number_at(result, *path)


ACCURACY = replace(_known("reward model accuracy"), limit=0.72)
CONTENT = FigureBound("stop-controlled win rate, low", _at("evaluation", "controls", "stop_controlled_low"), 0.5)
TARGETS = (
    ACCURACY,
    replace(_known("flag AUC"), limit=0.93),
    replace(_known("violations cut"), limit=5.0),
    replace(_known("violations cut, first sentence"), limit=4.0),
    FigureBound("win rate, low", _at("evaluation", "win_rate_low"), 0.6),
    CONTENT,
    replace(_known("perplexity"), limit=1.03),
)
NEEDS = {ACCURACY.name: "reward_model", "flag AUC": "reward_model"}
"""The stage that gives a figure; evaluation where it is not named."""
INTERVALS = {
    ACCURACY.name: ("reward_model", "accuracy"),
    CONTENT.name: ("evaluation", "controls", "stop_controlled"),
    "win rate, low": ("evaluation", "win_rate"),
}
"""Figures that are shown with their bounds, whichever of them the target is about."""
RATES = {"violations cut": "violation_rate", "violations cut, first sentence": "first_sentence_violation_rate"}


def checks(result: Result) -> list[dict[str, Any]]:
    """Of the stages that were run. That what was learnt is content, not length, is asked of tastes about content."""
    applies = [t for t in TARGETS if NEEDS.get(t.name, "evaluation") in result]
    return [target.check(result) for target in applies if target is not CONTENT or result["about_content"]]


def misses(results: Sequence[Result]) -> list[str]:
    """Every target that a figure fell short of, in words, with the figures beside it."""
    found = [
        f"seed {result['seed']}, {result['taste']}: {_words_of(check, result)}"
        for result in results
        for check in checks(result)
        if not check["holds"] and check["name"] != CONTENT.name
    ]
    by_taste: dict[str, list[Result]] = {}
    for result in results:
        if result["about_content"] and "evaluation" in result:
            by_taste.setdefault(result["taste"], []).append(result)
    if by_taste and not any(all(map(CONTENT.holds, of_taste)) for of_taste in by_taste.values()):
        figures = ", ".join(
            f"{taste} {' '.join(_number(CONTENT.value(result)) for result in of_taste)}"
            for taste, of_taste in by_taste.items()
        )
        found.append(f"{CONTENT.name}: on no taste about content above {CONTENT.limit} in every seed ({figures})")
    return found


def render(results: Sequence[Result]) -> str:
    printed = Console(file=StringIO(), width=WIDTH, highlight=False)
    for taste in dict.fromkeys(result["taste"] for result in results):
        printed.print(_table(taste, [result for result in results if result["taste"] == taste]))
    missed = misses(results)
    printed.print(f"{len(missed)} targets missed:" if missed else "Every target is met.", markup=False)
    for line in missed:
        printed.print(f"  MISSED {line}", markup=False, soft_wrap=True)
    assert isinstance(printed.file, StringIO)
    return printed.file.getvalue()


def _table(taste: str, results: Sequence[Result]) -> Table:
    seen = "tuned with" if results[0]["seen_before"] else "hidden"
    content = ", about content" if results[0]["about_content"] else ""
    title = f"SIMULATED annotators: {taste} ({seen}{content})"
    table = Table(title=title, title_justify="left", width=WIDTH)
    table.add_column("target", no_wrap=True)
    for result in results:
        table.add_column(f"seed {result['seed']}")
    found = [{check["name"]: check for check in checks(result)} for result in results]
    for target in TARGETS:
        if any(target.name in one for one in found):
            sign = "≥" if target.is_least else "≤"
            cells = [_cell(one.get(target.name), result) for one, result in zip(found, results, strict=True)]
            table.add_row(f"{target.name} {sign} {target.limit:g}", *cells)
    for name, values in _facts(results):
        table.add_row(name, *values, style="dim")
    return table


def _cell(check: Mapping[str, Any] | None, result: Result) -> str:
    if check is None:
        return "-"
    short = "no" if check["name"] == CONTENT.name else "MISS"  # of the tastes about content, one is enough
    return f"{'ok' if check['holds'] else short} {_figures(check, result)}"


def _words_of(check: Mapping[str, Any], result: Result) -> str:
    return f"{check['name']} {_figures(check, result)}, asked {check['bound']} {check['limit']:g}"


def _figures(check: Mapping[str, Any], result: Result) -> str:
    """The figure, and what it was made of."""
    name, shown = check["name"], _number(check["value"])
    if (rate := RATES.get(name)) is not None:
        report = result["evaluation"]
        sides = [_span(report, f"{rate}_{side}") for side in ("before", "after")]
        return f"{shown} ({' -> '.join(sides)}{'' if check['is_apart'] else ', intervals overlap'})"
    if name in INTERVALS:
        *above, last = INTERVALS[name]
        low, high = (_number(number_at(result, *above, f"{last}_{side}")) for side in ("low", "high"))
        return f"{_number(number_at(result, *above, last))} [{low}, {high}]"
    return shown


def _facts(results: Sequence[Result]) -> Iterator[tuple[str, list[str]]]:
    """What a reader needs beside them; no target."""
    yield "training comparisons", [_number(number_at(r, "reward_model", "trained_pairs"), 0) for r in results]
    for name, path in {"KL, nats": ("kl_nats",), "length": ("length_ratio",), "empty": ("empty_rate",)}.items():
        yield name, [_number(number_at(r, "evaluation", *path)) for r in results]
    first = ("evaluation", "controls", "first_sentence")
    yield "base cut after a sentence wins", [_number(number_at(r, *first)) for r in results]
    yield "minutes", [_number(sum(r["stage_seconds"].values()) / 60, 1) for r in results]


def _span(report: Mapping[str, Any], name: str) -> str:
    low, high = (_number(number_at(report, f"{name}_{side}"), 2) for side in ("low", "high"))
    return f"{_number(number_at(report, name), 2)} [{low}, {high}]"


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
