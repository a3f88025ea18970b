"""Who judged an evaluation, and how often that judge is right, as far as it was measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlhf.charts.reliability_pictures import ReliabilityPicture, reliability_picture
from rlhf.models import Evaluation, Run
from rlhf.release.report_values import number
from rlhf.runs.cycle import JUDGE


@dataclass(frozen=True)
class JudgeFacts:
    kind: str
    """gold, reward_model, or nothing: then `name` says who it was."""
    name: str
    run: int | None
    """The run that trained it, where it is a reward model."""
    accuracy: float | None
    """Share of judgements that it was not trained on with which it agrees; None where that was not measured."""
    low: float | None
    high: float | None
    pairs: int
    """How many such judgements."""
    rule_auc: float | None
    trained_pairs: int

    @property
    def is_simulated(self) -> bool:
        return self.kind == "gold"

    @property
    def interval(self) -> dict[str, float | None]:
        return {"low": self.low, "high": self.high}


@dataclass(frozen=True)
class Qualification:
    """How good a cross-fitted judge is on held-out judgements of which it learnt nothing."""

    accuracy: float | None
    low: float | None
    high: float | None
    comparisons: int
    people: int
    simulated: int
    """Simulated annotators among the people."""
    knows_the_people: bool
    """One person ranked everything, so that the judge learnt from whom it is measured against."""
    ece: float | None
    slope: float | None
    """Of its calibration: about 0 of a judge that guesses."""
    slope_low: float | None
    slope_high: float | None
    rules: list[tuple[str, float | None]]
    """AUC of each rule that it can tell."""
    picture: ReliabilityPicture | None

    @property
    def interval(self) -> dict[str, float | None]:
        return {"low": self.low, "high": self.high}


def qualification(report: Mapping[str, Any]) -> Qualification | None:
    """None where the report says nothing of it: of a gold judge, or stored before judges were cross-fitted."""
    comparisons = number(report.get("judge_comparisons"))
    if comparisons is None:
        return None
    rules = report.get("judge_rule_auc")
    return Qualification(
        accuracy=number(report.get("judge_accuracy")),
        low=number(report.get("judge_accuracy_low")),
        high=number(report.get("judge_accuracy_high")),
        comparisons=int(comparisons),
        people=int(number(report.get("judge_people")) or 0),
        simulated=int(number(report.get("judge_people_simulated")) or 0),
        knows_the_people=report.get("judge_annotator_folds") == 1,
        ece=number(report.get("judge_ece")),
        slope=number(report.get("judge_slope")),
        slope_low=number(report.get("judge_slope_low")),
        slope_high=number(report.get("judge_slope_high")),
        rules=[(str(key), number(value)) for key, value in rules.items()] if isinstance(rules, Mapping) else [],
        picture=reliability_picture(report),
    )


def facts(evaluation: Evaluation) -> JudgeFacts:
    used = evaluation.judge_used()
    trained = _run_of(evaluation) if used.kind == "reward_model" else None
    return _facts(used.kind, used.name, trained)


def reward_model_facts(evaluation: Evaluation) -> JudgeFacts | None:
    """The same of the reward model that the policy was trained against, which never judges by itself."""
    run = evaluation.run.reward_model
    return _facts("reward_model", "", run) if run is not None else None


def _facts(kind: str, name: str, run: Run | None) -> JudgeFacts:
    result: Mapping[str, Any] = run.result if run is not None else {}
    pairs, trained_pairs = number(result.get("pairs")), number(result.get("trained_pairs"))
    accuracy = number(result.get("accuracy")) if pairs else None
    return JudgeFacts(
        kind=kind,
        name=name,
        run=run.pk if run is not None else None,
        accuracy=accuracy,
        low=number(result.get("accuracy_low")) if accuracy is not None else None,
        high=number(result.get("accuracy_high")) if accuracy is not None else None,
        pairs=int(pairs or 0),
        rule_auc=number(result.get("flag_auc")),
        trained_pairs=int(trained_pairs or 0),
    )


def _run_of(evaluation: Evaluation) -> Run | None:
    """By the evaluation's configuration; of one stored before that named it, the judge of the same cycle."""
    known = (evaluation.run.config.get("judge") or {}).get("run")
    if known is not None:
        return Run.objects.filter(pk=known).first()
    cycle = evaluation.run.parent
    return cycle.stages.filter(stage=JUDGE).first() if cycle is not None else None
