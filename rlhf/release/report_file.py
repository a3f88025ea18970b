"""The report of an evaluation as a file, JSON or HTML: figures, conditions, versions, and each reply's scores."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from chat.models import Policy
from rlhf import labels
from rlhf.figures import figure
from rlhf.models import Decision, Evaluation
from rlhf.release import conditions, judge_facts
from rlhf.release.decision import TABLES
from rlhf.release.samples import Sample
from rlhf.release.stored_rows import stored_rows

FORMAT = 1
KINDS = {"html": "text/html; charset=utf-8", "json": "application/json"}
STYLES = [Path(settings.BASE_DIR) / "static/css" / name for name in ("report.css", "evaluation_pictures.css")]
RECOMPUTE = Path(__file__).with_name("recompute.py")
"""The script that comes along with a report."""


def name_of(evaluation: Evaluation, kind: str) -> str:
    return f"evaluation-{evaluation.pk}-{evaluation.policy.name}.{kind}"


def render(evaluation: Evaluation, kind: str, texts: Sequence[Sample]) -> str:
    """`texts`: the replies whose words the file may hold."""
    found = _contents(evaluation, texts)
    if kind == "json":
        return json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False)
    return _as_html(evaluation, found)


def _contents(evaluation: Evaluation, texts: Sequence[Sample]) -> dict[str, Any]:
    """Names of people are not in it, and of their words `texts` alone."""
    decision, report = evaluation.newest_decision(), evaluation.report
    against = judge_facts.reward_model_facts(evaluation)
    return {
        "format": FORMAT,
        "evaluation": {
            "id": evaluation.pk,
            "run": evaluation.run_id,
            "created_at": evaluation.created_at.isoformat(),
            "number": evaluation.number,
            "level": evaluation.level,
            "policy": _policy(evaluation.policy),
            "baseline": _policy(evaluation.baseline),
            "simulated": evaluation.run.is_simulated,
        },
        "judge": asdict(judge_facts.facts(evaluation)),
        "demonstration": str(labels.DEMONSTRATION) if judge_facts.facts(evaluation).is_simulated else None,
        "reward_model_of_training": asdict(against) if against is not None else None,
        "decision": _decision(decision) if decision is not None else None,
        "figures": {key: value for key, value in report.items() if key not in TABLES},
        "settings": _settings(evaluation),
        "versions": {
            "chamsae": metadata.version("chamsae"),
            **(report.get("versions") or {}),
            "snapshot_sha256": evaluation.run.snapshot.sha256 if evaluation.run.snapshot else None,
            "replies_sha256": (report.get("replies") or {}).get("sha256"),
        },
        "comparisons": report.get("people_answers"),
        "replies": None if evaluation.is_blind else stored_rows(evaluation, "replies"),
        "judgements": stored_rows(evaluation, "judgements"),
        "violation_labels": stored_rows(evaluation, "violation_label_rows"),
        "texts": [] if evaluation.is_blind else [dict(sample) for sample in texts],
    }


def _policy(policy: Policy) -> dict[str, Any]:
    return {"name": policy.name, "version": policy.version, "manifest_sha256": policy.manifest_sha256}


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "passed": decision.passed,
        "decided_at": decision.created_at.isoformat(),
        "has_all_conditions": conditions.is_complete(decision),
        "thresholds": decision.thresholds,
        "conditions": [{**reason, "holds": decision.holding(reason)} for reason in decision.reasons],
    }


def _settings(evaluation: Evaluation) -> dict[str, Any]:
    config = evaluation.run.config
    return {"seed": config.get("seed"), "hyperparameters": config.get("hyperparameters") or {}}


def _as_html(evaluation: Evaluation, found: Mapping[str, Any]) -> str:
    decision, report = evaluation.newest_decision(), evaluation.report
    controls = report.get("controls") or {}
    context = {
        "evaluation": evaluation,
        "report": report,
        "found": found,
        "decision": decision,
        "conditions": conditions.of_decision(decision) if decision is not None else [],
        "budget": conditions.budget(decision),
        "is_complete": decision is not None and conditions.is_complete(decision),
        "judge": judge_facts.facts(evaluation),
        "qualification": judge_facts.qualification(report),
        "trained_against": judge_facts.reward_model_facts(evaluation),
        "is_simulated": evaluation.run.is_simulated,
        "demonstration": labels.DEMONSTRATION,
        "controls": [(label, controls.get(key) or {}) for key, label in labels.CONTROLS.items()],
        "figures": [(name, figure(value)) for name, value in _flat(found["figures"])],
        "thresholds": [(name, figure(value)) for name, value in _flat(decision.thresholds if decision else {})],
        "versions": [(name, value) for name, value in _flat({**found["versions"], **found["settings"]})],
        "samples": found["texts"],
        "has_base": any("base" in sample for sample in found["texts"]),
        # our own file, in a page that is saved and loads nothing
        "styles": mark_safe(f"<style>{''.join(file.read_text() for file in STYLES)}</style>"),  # noqa: S308
    }
    return render_to_string("rlhf/report_file.html", context)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        found += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return found
