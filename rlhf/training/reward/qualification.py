"""How good a judge is, from comparisons and rule labels that it was not trained on: accuracy, calibration, size."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlhf.training import statistics
from rlhf.training.statistics.calibration import Calibration, fit_slope, probabilities

FILE = "judgements.jsonl"
BINS, LEAST_IN_A_BIN = 10, 10


@dataclass(frozen=True)
class JudgedComparison:
    """A person's comparison, as a judge saw it that learned from other prompts and other people."""

    margin: float
    """Its score of the chosen reply less that of the other one."""
    group: str
    person: str
    simulated: bool
    fold: int
    """Of the prompt."""


@dataclass(frozen=True)
class JudgedLabel:
    """A person's label of a reply under a rule, likewise."""

    rule: str
    probability: float
    violates: bool
    group: str
    person: str


@dataclass(frozen=True)
class Judgements:
    comparisons: tuple[JudgedComparison, ...]
    labels: tuple[JudgedLabel, ...]

    @property
    def calibration(self) -> Calibration:
        return Calibration(
            tuple(one.margin for one in self.comparisons),
            tuple(one.group for one in self.comparisons),
            tuple(one.person for one in self.comparisons),
        )

    def write(self, directory: Path) -> None:
        rows = [{"comparison": asdict(one)} for one in self.comparisons] + [
            {"label": asdict(one)} for one in self.labels
        ]
        (directory / FILE).write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))

    @classmethod
    def read(cls, directories: Iterable[Path]) -> "Judgements":
        """Of one or more folds, one after the other."""
        rows = [json.loads(line) for folder in directories for line in (folder / FILE).read_text().splitlines()]
        comparisons = tuple(JudgedComparison(**row["comparison"]) for row in rows if "comparison" in row)
        return cls(comparisons, tuple(JudgedLabel(**row["label"]) for row in rows if "label" in row))

    def without_names(self) -> "Judgements":
        """Groups and people by number, for a file that leaves the site."""
        groups, people = _numbers(one.group for one in self._all), _numbers(one.person for one in self._all)
        return Judgements(
            tuple(
                JudgedComparison(o.margin, groups[o.group], people[o.person], o.simulated, o.fold)
                for o in self.comparisons
            ),
            tuple(
                JudgedLabel(o.rule, o.probability, o.violates, groups[o.group], people[o.person]) for o in self.labels
            ),
        )

    @property
    def _all(self) -> list[JudgedComparison | JudgedLabel]:
        return [*self.comparisons, *self.labels]


def _numbers(names: Iterable[str]) -> dict[str, str]:
    return {name: str(number) for number, name in enumerate(dict.fromkeys(names))}


def qualify(judgements: Judgements) -> dict[str, Any]:
    """The figures by which a judge is admitted. Intervals are the wider of those by prompt group and by person.

    Simulated annotators count among the people and are counted beside them.
    """
    comparisons, calibration = judgements.comparisons, judgements.calibration
    accuracy, slope = _accuracy_of(comparisons), calibration.interval() if comparisons else None
    bins = _reliability(comparisons)
    n = len(comparisons)
    return {
        "accuracy": accuracy.value,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "comparisons": n,
        "people": len({one.person for one in comparisons}),
        "people_simulated": len({one.person for one in comparisons if one.simulated}),
        "groups": len({one.group for one in comparisons}),
        "slope": slope.value if slope else None,
        "slope_low": slope.low if slope else None,
        "slope_high": slope.high if slope else None,
        "ece": sum(b["n"] * abs(b["predicted"] - b["right"]) for b in bins.values()) / n if n else None,
        "reliability": bins,
        "rule_auc": _rule_auc(judgements.labels),
        "rule_labels": len(judgements.labels),
    }


def _accuracy_of(comparisons: Sequence[JudgedComparison]) -> statistics.Interval:
    """Share of comparisons in which the judge scores the chosen reply higher, equal scores one half."""
    right = [float(one.margin > 0) + 0.5 * float(one.margin == 0) for one in comparisons]
    by_group = statistics.cluster_bootstrap(right, [one.group for one in comparisons])
    return statistics.wider(by_group, statistics.cluster_bootstrap(right, [one.person for one in comparisons]))


def _reliability(comparisons: Sequence[JudgedComparison]) -> dict[str, dict[str, float]]:
    """Bins of equal size by how sure the judge is: {"1": {n, predicted, right}, ...}, the least sure first.

    How sure it is that the reply is better which it scores higher, with the slope of the other prompt folds: fitted
    on what is measured here, the slope would flatter itself.
    """
    if not comparisons:
        return {}
    sure, right = _sureness(comparisons)
    order = np.argsort(sure, kind="stable")
    parts = np.array_split(order, max(1, min(BINS, len(order) // LEAST_IN_A_BIN)))
    return {
        str(number): {"n": len(part), "predicted": float(sure[part].mean()), "right": float(right[part].mean())}
        for number, part in enumerate(parts, start=1)
    }


def _sureness(comparisons: Sequence[JudgedComparison]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(probability that the judge is right, whether it is) of each; a judge with a slope below 0 is less than 1/2
    sure."""
    margins = np.array([one.margin for one in comparisons])
    folds = np.array([one.fold for one in comparisons])
    slopes = {int(fold): fit_slope(margins[folds != fold].tolist()) for fold in np.unique(folds)}
    by_fold = np.array([slopes[int(fold)] for fold in folds])
    sure = probabilities(np.abs(margins) * by_fold, 1.0)
    return sure, (margins > 0) + 0.5 * (margins == 0)


def _rule_auc(labels: Sequence[JudgedLabel]) -> dict[str, float | None]:
    """Of each rule that the judge can tell, None where all its labels agree."""
    found = {}
    for rule in sorted({one.rule for one in labels}):
        own = [one for one in labels if one.rule == rule]
        area = statistics.auc([one.probability for one in own], [one.violates for one in own])
        found[rule] = None if np.isnan(area) else area
    return found
