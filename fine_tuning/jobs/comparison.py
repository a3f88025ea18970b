"""Which was worth it: a result's figures side by side, the best of each named."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from rlhf.figures import figure, percent
from rlhf.release.report_values import number

SIDES: Mapping[str, Promise] = {"base": _("Original model"), "few_shot": _("Few-shot"), "fine_tuned": _("Fine-tuned")}
VERDICTS: Mapping[str, Promise] = {
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
"""The first that tells them apart decides."""


@dataclass(frozen=True)
class Cell:
    text: str
    is_best: bool


@dataclass(frozen=True)
class Row:
    measure: Measure
    cells: list[Cell]


@dataclass(frozen=True)
class Worth:
    sides: list[Promise]
    rows: list[Row]
    verdict: Promise | None
    """None where nothing is ahead."""


def worth(comparison: Mapping[str, Any]) -> Worth:
    sides = {name: comparison[name] for name in SIDES if comparison.get(name)}
    rows, first = [], set[str]()
    for measure in MEASURES:
        values = {name: number(side.get(measure.name)) for name, side in sides.items()}
        if any(value is None for value in values.values()):
            continue
        ahead = _best(measure, {name: value for name, value in values.items() if value is not None})
        first = first or ahead
        write = percent if measure.is_share else figure
        rows.append(Row(measure, [Cell(write(value), name in ahead) for name, value in values.items()]))
    verdict = VERDICTS[first.pop()] if len(first) == 1 else None
    return Worth([SIDES[name] for name in sides], rows, verdict)


def _best(measure: Measure, values: Mapping[str, float]) -> set[str]:
    """Nobody where all are the same."""
    if len(set(values.values())) == 1:
        return set()
    wanted = (max if measure.more_is_better else min)(values.values())
    return {name for name, value in values.items() if value == wanted}
