"""The curves of a run's page: of a cycle those of each stage that trains, and on top what people look for first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rlhf.charts import line_charts
from rlhf.charts.curve_options import CurveOptions
from rlhf.charts.line_charts import LineChart
from rlhf.models import Run

STAGES = (Run.Kind.POLICY, Run.Kind.REWARD_MODEL)
"""Kinds of stages whose curves a cycle shows, in this order; an evaluation has figures and no curve."""
FIRST: dict[str, tuple[str, ...]] = {
    Run.Kind.POLICY: (
        "objective/rlhf_reward",
        "reward",
        "reward/best",
        "objective/kl",
        "reward/violation",
        "objective/scores",
        "watch/score",
        "length/mean",
        "completions/mean_length",
        "objective/entropy",
        "entropy",
        "loss",
        "accuracy",
        "margin",
    ),
    Run.Kind.REWARD_MODEL: ("loss", "accuracy", "held_out/accuracy", "flag/loss", "flag/accuracy", "margin"),
}
MOST = 6


@dataclass(frozen=True)
class CurveGroup:
    """The charts of one stage."""

    run: Run
    name: str
    """The stage, for its heading."""
    first: list[LineChart]
    more: list[LineChart]


def groups(run: Run, stages: Iterable[Run], options: CurveOptions) -> list[CurveGroup]:
    """Of a cycle one of each stage that trains and has reported something; of another run its own."""
    shown = _in_order(stages) if run.is_cycle else [run]
    made = [_group(one, options) for one in shown]
    return [group for group in made if group.first]


def first_and_rest(kind: str, drawn: Sequence[LineChart]) -> tuple[list[LineChart], list[LineChart]]:
    """(what is looked at first, the rest)."""
    wanted = FIRST.get(kind)
    if wanted is None:
        return list(drawn[:MOST]), list(drawn[MOST:])
    by_name = {chart.name: chart for chart in drawn}
    first = [by_name[name] for name in wanted if name in by_name][:MOST] or list(drawn[:MOST])
    return first, [chart for chart in drawn if chart not in first]


def _in_order(stages: Iterable[Run]) -> list[Run]:
    found = [stage for stage in stages if stage.kind in STAGES]
    return sorted(found, key=lambda stage: (STAGES.index(Run.Kind(stage.kind)), stage.pk))


def _group(run: Run, options: CurveOptions) -> CurveGroup:
    first, more = first_and_rest(run.kind, line_charts.charts(run.metrics.values_list("step", "values"), options))
    return CurveGroup(run, run.stage, first, more)
