"""The demo's result as a table: every figure with its interval, its controls and its judge."""

from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 110
CONTROLS = {
    "null": "base against itself, another seed",
    "first_sentence": "base, cut after the first sentence",
    "best_of_8": "best of 8 by the reward model, untrained",
    "stop_controlled": "both cut to the first sentence",
}
VIOLATIONS = {
    "violation_rate": ("violations", "on prompts that elicit them"),
    "first_sentence_violation_rate": ("  first sentence", "the same, with replies cut after the first sentence"),
}
Report = Mapping[str, Any]


def render(result: Report) -> str:
    table = Table(
        title=f"SIMULATED annotators, seed {result['seed']}, learned from {result['learnt_from']}",
        title_justify="left",
        width=WIDTH,
    )
    table.add_column("measured", no_wrap=True)
    table.add_column("value", no_wrap=True)
    table.add_column("measured on", style="dim")
    for row in _rows(result):
        table.add_row(*row)
    printed = Console(file=StringIO(), width=WIDTH, highlight=False)
    printed.print(table)
    for floor in result["floors"]:
        printed.print(f"  floor: {_floor_line(floor)}", markup=False)
    printed.print(f"  judge: {result['evaluation']['judge']}", markup=False)
    for reason in result["gate"]["reasons"]:
        printed.print(f"  gate: {_reason_line(reason)}", markup=False)
    printed.print(f"\nEverything is stored in {result['home']}", soft_wrap=True, markup=False)
    printed.print(f"To view it: CHAMSAE_HOME={result['home']} make run", soft_wrap=True, markup=False)
    assert isinstance(printed.file, StringIO)
    return printed.file.getvalue()


def _rows(result: Report) -> Iterator[tuple[str, str, str]]:
    yield from _judged(result)
    yield from _compared(result["evaluation"])
    yield from _bounded(result["evaluation"])
    seconds = result["stage_seconds"]
    stages = ", ".join(f"{name.replace('_', ' ')} {_minutes(value)}" for name, value in seconds.items())
    yield "minutes", _minutes(result["seconds"]), f"collecting {_minutes(result['collecting_seconds'])}, {stages}"
    yield "peak memory", f"{result['peak_memory_mb']:.0f} MB", "of the training process"
    decision = "passed" if result["gate"]["passed"] else "refused"
    yield "gate", decision, f"{result['policy']} against {result['base_policy']}"


def _judged(result: Report) -> Iterator[tuple[str, str, str]]:
    collected = result["collected"]
    learned = result["reward_model"]
    noise = f"{collected['noise_pairs']:.0%} of pairs, {collected['noise_flags']:.0%} of flags wrong"
    trained = learned.get("trained_pairs")
    trained_on = f"{trained} of them for training, the rest held out; " if trained else ""
    yield "comparisons", str(result["comparisons"]), f"pairs without a tie; {trained_on}{noise}"
    yield "flags", str(result["flags"]), f"preference: {collected['preference']}"
    low = learned.get("accuracy_low")
    against = f"measured against {learned['measured_against']}"
    yield (
        "reward model accuracy",
        _with_low(learned["accuracy"], low),
        f"{learned['pairs']} held-out pairs; {against}",
    )
    yield "flag AUC", _number(learned["flag_auc"]), f"held-out flags; {against}"


def _compared(report: Report) -> Iterator[tuple[str, str, str]]:
    yield "win rate", _interval(report, "win_rate"), f"{report['n']} pairs of replies to held-out prompts"
    for name, meaning in CONTROLS.items():
        yield f"  {name.replace('_', ' ')}", _interval(report["controls"], name), meaning
    for name, (title, where) in VIOLATIONS.items():
        yield f"{title} before", _interval(report, f"{name}_before"), where
        yield f"{title} after", _interval(report, f"{name}_after"), _cut(report, name)


def _bounded(report: Report) -> Iterator[tuple[str, str, str]]:
    yield "KL", f"{_number(report['kl_nats'])} nats", "per reply, from the policy that training started with"
    surprise = f"times that at its own replies, {_number(report['surprise_nats_base'])} nats per token"
    yield "base's surprise", _number(report["surprise_ratio"]), surprise
    yield "length", _number(report["length_ratio"]), "times the base's"
    yield "perplexity", _number(report["perplexity_ratio"]), "times the base's, on human text"


def _reason_line(reason: Mapping[str, Any]) -> str:
    value, limit = (
        _number(reason.get(name)) if not isinstance(reason.get(name), bool) else "" for name in ("value", "limit")
    )
    figures = ", ".join(
        f"{name} {figure}" for name, figure in (("value", value), ("limit", limit)) if figure not in ("", "-")
    )
    return f"{reason['text']} ({figures})" if figures else str(reason["text"])


def _floor_line(floor: Mapping[str, Any]) -> str:
    outcome = "holds" if floor["holds"] else "SHORT"
    apart = ", intervals apart" if floor["is_apart"] is not None else ""
    return f"{outcome}: {floor['name']} {_number(floor['value'])}, {floor['bound']} {_number(floor['limit'])}{apart}"


def _cut(report: Report, name: str) -> str:
    before, after = report[f"{name}_before"], report[f"{name}_after"]
    if not before or after is None:
        return ""
    return f"cut by {before / after:.1f}" if after else "none left"


def _interval(report: Report, name: str) -> str:
    return _span(report[name], report.get(f"{name}_low"), report.get(f"{name}_high"))


def _span(value: float | None, low: float | None, high: float | None) -> str:
    return f"{_number(value)} [{_number(low)}, {_number(high)}]"


def _with_low(value: float | None, low: float | None) -> str:
    return f"{_number(value)} (at least {_number(low)})" if low is not None else _number(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _minutes(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 60:.1f}"
