"""Two runs beside each other: the settings in which they differ, their figures, and their curves in one plot."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from rlhf import labels
from rlhf.charts import line_charts, run_curves
from rlhf.charts.curve_options import CurveOptions
from rlhf.charts.default_settings import default_of
from rlhf.charts.line_charts import LineChart
from rlhf.figures import figure, percent
from rlhf.models import Run
from rlhf.release.report_values import number

FIGURES: tuple[tuple[str, str, Promise], ...] = (
    (Run.Kind.REWARD_MODEL, "accuracy", gettext_lazy("Accuracy of the reward model")),
    (Run.Kind.REWARD_MODEL, "pairs", gettext_lazy("Held-out pairs")),
    (Run.Kind.REWARD_MODEL, "flag_auc", gettext_lazy("AUC on broken rules")),
    (Run.Kind.POLICY, "steps", gettext_lazy("Steps of the policy")),
    (Run.Kind.POLICY, "episodes", gettext_lazy("Episodes")),
    (Run.Kind.POLICY, "stopped_by", gettext_lazy("Stopped by")),
    (Run.Kind.POLICY, "kl_nats", gettext_lazy("KL in training, nats per reply")),
    (Run.Kind.POLICY, "anchor_kl_nats", gettext_lazy("KL in training from the base below all adapters")),
    (Run.Kind.EVALUATION, "win_rate", gettext_lazy("Win rate")),
    (Run.Kind.EVALUATION, "violation_rate_before", gettext_lazy("Rule violations before")),
    (Run.Kind.EVALUATION, "violation_rate_after", gettext_lazy("Rule violations after")),
    (Run.Kind.EVALUATION, "kl_nats", gettext_lazy("KL from the starting point, nats per reply")),
    (Run.Kind.EVALUATION, "length_ratio", gettext_lazy("Length, relative to before")),
    (Run.Kind.EVALUATION, "surprise_ratio", gettext_lazy("Surprise of the base model, relative to its own replies")),
    (Run.Kind.EVALUATION, "no_sentence_share", gettext_lazy("Replies without a sentence")),
    (Run.Kind.EVALUATION, "perplexity_ratio", gettext_lazy("Perplexity of human text, relative to before")),
)
"""(kind of stage, key of its result, label)."""
SHARES = ("accuracy", "win_rate", "violation_rate_before", "violation_rate_after", "no_sentence_share")


@dataclass(frozen=True)
class Row:
    label: str | Promise
    a: str
    b: str


@dataclass(frozen=True)
class OverlaidGroup:
    """The charts of one stage, with a curve of each run."""

    name: str
    first: list[LineChart]
    more: list[LineChart]


@dataclass(frozen=True)
class Stages:
    """A run with its stages by name; a run that is no cycle is its only stage."""

    run: Run
    by_name: dict[str, Run]

    @classmethod
    def of(cls, run: Run) -> "Stages":
        if not run.is_cycle:
            return cls(run, {run.stage or run.kind: run})
        return cls(run, {stage.stage: stage for stage in run.stages.order_by("pk")})

    def result(self, kind: str) -> Mapping[str, Any]:
        """Of the stage of that name; the judge is a reward model, but not this one."""
        stage = self.by_name.get(kind)
        return stage.result if stage is not None else {}


def differences(one: Stages, other: Stages) -> list[Row]:
    """Only what differs, in the order of the first run; what one of them leaves open has its default there."""
    a, b = dict(_settings(one)), dict(_settings(other))
    stages = {**other.by_name, **one.by_name}
    return [
        Row(name, _told(a, name, stages), _told(b, name, stages))
        for name in dict.fromkeys((*a, *b))
        if a.get(name) != b.get(name)
    ]


def figures(one: Stages, other: Stages) -> list[Row]:
    """Those that at least one of them has."""
    rows = [
        Row(label, _figure(one.result(kind), key), _figure(other.result(kind), key)) for kind, key, label in FIGURES
    ]
    rows += [
        Row(_("Gate"), _gate(one.run), _gate(other.run)),
        Row(_("Duration, seconds"), _duration(one.run), _duration(other.run)),
        Row(_("State"), one.run.get_state_display(), other.run.get_state_display()),
    ]
    return [row for row in rows if (row.a, row.b) != ("–", "–")]


def curves(one: Stages, other: Stages, options: CurveOptions) -> list[OverlaidGroup]:
    """Of the stages that both have, and of those that one of them has alone."""
    groups = []
    for name in dict.fromkeys((*_training(one), *_training(other))):
        found = {"A": one.by_name.get(name), "B": other.by_name.get(name)}
        drawn = line_charts.overlaid(
            {label: stage.metrics.values_list("step", "values") if stage else () for label, stage in found.items()},
            options,
        )
        kind = next(stage.kind for stage in found.values() if stage is not None)
        first, more = run_curves.first_and_rest(kind, drawn)
        groups.append(OverlaidGroup(name, first, more))
    return [group for group in groups if group.first]


def _training(stages: Stages) -> list[str]:
    """Names of the stages that have curves, the policy's first."""
    shown = [name for name, stage in stages.by_name.items() if stage.kind in run_curves.STAGES]
    return sorted(shown, key=lambda name: run_curves.STAGES.index(Run.Kind(stages.by_name[name].kind)))


def _settings(stages: Stages) -> Iterator[tuple[str, Any]]:
    run = stages.run
    yield _("Kind of run"), run.get_kind_display()
    yield _("Algorithm"), run.algorithm_name
    yield _("Seed"), run.config.get("seed")
    yield _("Policy before"), run.base_policy.name if run.base_policy else None
    yield _("Snapshot"), run.snapshot.sha256[:16] if run.snapshot else None
    yield _("Rankings"), run.snapshot.rankings if run.snapshot else None
    yield _("Flags"), run.snapshot.flags if run.snapshot else None
    yield _("Judge"), (run.config.get("judge") or {}).get("kind")
    for name, stage in stages.by_name.items():
        for key, value in _flat(_hyperparameters(stage)):
            yield f"{name}.{key}", value


def _hyperparameters(stage: Run) -> Mapping[str, Any]:
    """As the training process got them, with lengths that the site chose; else as they were asked for."""
    try:
        config = json.loads((stage.path / "config.json").read_text())
    except (OSError, ValueError):  # a stage that has not started, or whose directory was removed
        config = stage.config
    found = config.get("hyperparameters") if isinstance(config, dict) else None
    return found if isinstance(found, dict) else {}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _told(settings: Mapping[str, Any], name: str, stages: Mapping[str, Run]) -> str:
    value = settings.get(name)
    if value is not None and value != "":
        return str(value)
    stage, _dot, key = name.partition(".")
    default = default_of(stages[stage], key) if stage in stages else None
    return _("default") if default is None else _("%(value)s (default)") % {"value": default}


def _figure(result: Mapping[str, Any], key: str) -> str:
    if key == "stopped_by" and result.get(key) in labels.STOPPED_BY:
        return str(labels.STOPPED_BY[result[key]])
    if key not in SHARES:
        return figure(result.get(key))
    low, high = number(result.get(f"{key}_low")), number(result.get(f"{key}_high"))
    interval = "" if low is None or high is None else f" ({percent(low)} – {percent(high)})"
    return percent(result.get(key)) + interval


def _gate(run: Run) -> str:
    gate = run.result.get("gate")
    if not isinstance(gate, dict):
        return "–"
    return _("passed") if gate.get("passed") else _("refused")


def _duration(run: Run) -> str:
    if run.started_at is None or run.ended_at is None:
        return "–"
    return figure((run.ended_at - run.started_at).total_seconds())
