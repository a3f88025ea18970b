"""The table that compares a job's base model, few-shot prompting and the fine-tuned model, best values marked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from rlhf.figures import figure, percent
from rlhf.release.report_values import number

SIDES: Mapping[str, Promise] = {"base": _("Original model"), "few_shot": _("Few-shot"), "fine_tuned": _("Fine-tuned")}
CONCLUSIONS: Mapping[str, Promise] = {
    "base": _("Neither helped: the original model did best on these lines."),
    "few_shot": _(
        "Few-shot did best on these lines: giving the examples as context helped more than training on them."
    ),
    "fine_tuned": _("Fine-tuning did best on these lines."),
}


@dataclass(frozen=True)
class Measure:
    name: str
    title: Promise
    hint: Promise
    more_is_better: bool
    is_share: bool = False


MEASURES = (
    Measure("score", _("Score"), _("score from the site's reward model; higher is better"), True),
    Measure(
        "p_violation", _("Rule violations"), _("replies that seem to break a rule; lower is better"), False, True
    ),
    Measure(
        "preferred",
        _("Prefers the chosen answer"),
        _("chosen is more probable than rejected; higher is better"),
        True,
        True,
    ),
    Measure(
        "lead_nats",
        _("Margin of the chosen answer, nats per token"),
        _("one nat: 2.7 times as probable; higher is better"),
        True,
    ),
    Measure("loss", _("Loss, nats per token"), _("surprise at the expected answer; lower is better"), False),
    Measure("perplexity", _("Perplexity"), _("number of words it hesitates between; 1 is certain"), False),
    Measure("exact_match", _("Exact matches"), _("lines whose answer exactly matches the expected one"), True, True),
)
"""In order of importance: the first that differs between the sides decides."""


@dataclass(frozen=True)
class Cell:
    text: str
    is_best: bool


@dataclass(frozen=True)
class ComparisonRow:
    measure: Measure
    cells: list[Cell]


@dataclass(frozen=True)
class ComparisonTable:
    sides: list[Promise]
    rows: list[ComparisonRow]
    conclusion: Promise | None
    """None where no side is ahead."""


def comparison_table(comparison: Mapping[str, Any]) -> ComparisonTable:
    """`comparison`: {side: {measure: value}}, as FineTune.result has it; measures that a side lacks are left out."""
    sides = {name: comparison[name] for name in SIDES if comparison.get(name)}
    rows, winners = [], set[str]()
    for measure in MEASURES:
        values = {name: number(side.get(measure.name)) for name, side in sides.items()}
        if any(value is None for value in values.values()):
            continue
        best = _best(measure, {name: value for name, value in values.items() if value is not None})
        winners = winners or best
        write = percent if measure.is_share else figure
        rows.append(ComparisonRow(measure, [Cell(write(value), name in best) for name, value in values.items()]))
    conclusion = CONCLUSIONS[winners.pop()] if len(winners) == 1 else None
    return ComparisonTable([SIDES[name] for name in sides], rows, conclusion)


def _best(measure: Measure, values: Mapping[str, float]) -> set[str]:
    """The sides with the best value; none where all values are equal."""
    if len(set(values.values())) == 1:
        return set()
    best = (max if measure.more_is_better else min)(values.values())
    return {name for name, value in values.items() if value == best}
