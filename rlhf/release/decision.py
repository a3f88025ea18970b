"""The end of a cycle: the gate decides on the report, a candidate that passed is promoted, the result is stored."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts import notices
from accounts.roles import Role
from chat import policies
from chat.errors import BadPolicy, PolicyAway
from chat.models import Policy
from rlhf import labels
from rlhf.errors import CannotBeginCanary, CannotPromote
from rlhf.models import Decision, Evaluation, Run
from rlhf.release import canary, gate, levels, people_figures, probe_figures, promotion

REWARD_MODEL_KEYS = (
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "pairs",
    "flag_auc",
    "measured_against",
    "trained_pairs",
)
TABLES = (
    *("samples", "worst", "replies", "judgements", "violation_label_rows"),
    *("people_answers", "prompts_asked", "versions"),
)
"""Parts of an evaluation's report that are rows, or say where a file is or what computed it, and no figures."""
LABEL_KEYS = ("accuracy_as_labelled", "flag_auc_as_labelled")
"""Present where the figures above are measured against a simulated annotator's preference without its noise."""


def decide(evaluation: Evaluation) -> Decision:
    """Asks the gate and stores its decision with the thresholds that it was made by."""
    levels.give(evaluation)
    report = {
        **evaluation.report,
        "judge_kind": evaluation.judge_used().kind,
        "level": evaluation.level,
        **people_figures.decisive(evaluation.report),
        "decided_by": evaluation.run.config.get("decided_by"),
        "probes": probe_figures.for_gate(evaluation.policy, evaluation.baseline),
        "tensors_finite": tensors_finite(evaluation.policy),
        "served_kl_nats": served_kl_nats(evaluation.policy),
        "baseline_is_live": Policy.objects.filter(pk=evaluation.baseline_id, is_live=True).exists(),
    }
    earlier = Evaluation.objects.filter(policy=evaluation.baseline).order_by("-pk").first()
    result = gate.decide(report, earlier.report if earlier is not None else None, settings.GATE)
    with transaction.atomic():
        made = Decision.objects.create(
            evaluation=evaluation, passed=result.passed, reasons=result.reasons, thresholds=dict(settings.GATE)
        )
        if not made.passed:
            _tell_admins(made)
    return made


def _tell_admins(refusal: Decision) -> None:
    told = {"policy": refusal.evaluation.policy.name}
    admins = notices.people_of(Role.ADMIN).values_list("pk", flat=True)
    notices.send(
        notices.Kind.GATE_REFUSED,
        dict.fromkeys(admins, told),
        about=f"decision:{refusal.pk}",
        link=reverse("evaluation", args=[refusal.evaluation_id]),
    )


def decide_once(evaluation: Evaluation) -> Decision:
    """The decision that was made on the evaluation, else a new one. Idempotent."""
    return evaluation.decisions.order_by("pk").first() or decide(evaluation)


def tensors_finite(policy: Policy) -> bool:
    """Also False where the directory is damaged. Raises PolicyAway."""
    try:
        directory = policies.fetched(policy)
        policies.verify(directory)
        return policies.all_finite(directory)
    except PolicyAway:
        raise
    except (BadPolicy, OSError):
        return False


def served_kl_nats(policy: Policy) -> Any:
    """Of the file that answers people from the trained weights. A policy from before this was measured has its
    weights in that file as they are."""
    figures = policies.served(policy)
    return 0.0 if figures is None else figures.get("kl_nats")


def conclude(cycle: Run, stages: Mapping[str, Run]) -> dict[str, Any]:
    """Decides, promotes what passed, and returns the cycle's result. Idempotent. PolicyAway."""
    evaluation = Evaluation.objects.get(run=stages[Run.Kind.EVALUATION])
    decision = decide_once(evaluation)
    gate_result: dict[str, Any] = {"passed": decision.passed, "reasons": decision.decisive()}
    promoted = decision.promotions.exists()
    begun: dict[str, Any] = {}
    promotes = decision.passed and cycle.config["promotes"] and not promoted
    if promotes and settings.CANARY["percent"]:
        begun = _begin_canary(decision)
    elif promotes:
        try:
            promotion.promote(decision)
            promoted = True
        except CannotPromote as error:
            reasons = [{"code": error.code, "text": str(error), "value": None, "sign": "", "limit": None}]
            gate_result = {"passed": False, "reasons": reasons}
    return {**_figures(cycle, stages, evaluation), "gate": gate_result, "promoted": promoted, **begun}


def _begin_canary(decision: Decision) -> dict[str, Any]:
    """The candidate has to show itself on a share of the chats before it is promoted, also where it can't right now:
    then an admin begins that later, or promotes. Idempotent."""
    known = decision.canaries.order_by("pk").first()
    if known is not None:
        return {"canary": known.pk}
    try:
        return {"canary": canary.begin(decision.evaluation.policy).pk}
    except CannotBeginCanary as error:
        return {"canary": None, "canary_refused": str(error)}


def _figures(cycle: Run, stages: Mapping[str, Run], evaluation: Evaluation) -> dict[str, Any]:
    snapshot = cycle.snapshot
    learned = stages[Run.Kind.REWARD_MODEL].result
    trained = stages[Run.Kind.POLICY].result
    report = {key: value for key, value in evaluation.report.items() if key not in TABLES}
    report["controls"] = _flat(evaluation.report.get("controls") or {})
    waited = _seconds_waited(cycle)
    peaks = [run.result.get("peak_memory_mb") or 0 for run in stages.values()]
    return {
        "run": cycle.pk,
        "policy": evaluation.policy.name,
        "base_policy": evaluation.baseline.name,
        "algorithm": cycle.algorithm,
        "seed": cycle.config["seed"],
        "snapshot": snapshot.sha256 if snapshot else None,
        "simulated": cycle.is_simulated,
        "rankings": snapshot.rankings if snapshot else 0,
        "comparisons": snapshot.comparisons if snapshot else 0,
        "flags": snapshot.flags if snapshot else 0,
        "judge": evaluation.judge,
        "judge_asked": cycle.config.get("judge_asked", "auto"),
        **({"demonstration": str(labels.DEMONSTRATION)} if cycle.config["judge"]["kind"] == "gold" else {}),
        "reward_model": {
            **{key: learned.get(key) for key in REWARD_MODEL_KEYS},
            **{key: learned[key] for key in LABEL_KEYS if learned.get(key) is not None},
        },
        "training": {key: value for key, value in trained.items() if not isinstance(value, list | dict)},
        "evaluation": report,
        "stage_seconds": {stage: run.result.get("seconds") for stage, run in stages.items()},
        "seconds": round((timezone.now() - (cycle.started_at or cycle.created_at)).total_seconds() - waited, 1),
        "seconds_waited": round(waited, 1),
        "peak_memory_mb": max(peaks),
    }


def _seconds_waited(cycle: Run) -> float:
    """For people, which tells nothing of how long the next cycle works."""
    asked = cycle.comparison_round
    if asked is None or asked.closed_at is None:
        return 0.0
    return float((asked.closed_at - asked.created_at).total_seconds())


def _flat(controls: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """{"null": {"win_rate", "low", "high"}} -> {"null", "null_low", "null_high"}, like the keys of the win rate."""
    return {
        name if part == "win_rate" else f"{name}_{part}": value
        for name, control in controls.items()
        for part, value in control.items()
    }
