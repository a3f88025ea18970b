"""Handler of fine-tuning runs for the supervisor of all runs (settings.RLHF_RUN_KINDS)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from base import shared_state
from chat import policies
from fine_tuning import fine_tuned_models, model_names
from fine_tuning.jobs import job_directory, lifecycle, outcome
from fine_tuning.models import FineTune
from rlhf.lineage import adapter_root
from rlhf.models import Run
from rlhf.runs.stages import BadResult


def _job_of(run: Run) -> FineTune | None:
    job = FineTune.objects.filter(run=run).select_related("base_policy", "owner", "policy").first()
    if job is not None:
        job.run = run  # the supervisor's own, which knows the newest progress
    return job


def child_config(run: Run, threads: int) -> dict[str, Any]:
    job = _job_of(run)
    if job is None:
        raise BadResult(f"run {run.pk} no longer belongs to a job")
    if not job.fine_tuned_model:
        job.fine_tuned_model = _model_name(job)
        job.save(update_fields=["fine_tuned_model"])
    data, held_out = job_directory.rows_of(job)
    judge = _reward_model(job) if _needs_reward_model(job) else None
    return {
        "base": str(policies.fetched(job.base_policy)),
        "output": str(fine_tuned_models.directory_of(run)),
        "data": str(data),
        "validation": str(held_out) if held_out is not None else None,
        "hold_out": 0,
        "method": job.method,
        "scope": job.scope,
        "form": job.training_file["form"],
        "hyperparameters": {**job.hyperparameters, "n_epochs": job.chosen["n_epochs"]},
        "seed": job.seed,
        "threads": threads,
        "label": job.fine_tuned_model,
        "facts": _facts(job),
        "simulated": job.base_policy.made_from_simulated,
        **({"reward_model": str(judge), **_root(job)} if judge is not None else {}),
    }


def _root(job: FineTune) -> dict[str, str]:
    """The policy over whose weights the reward model was trained, where the job's base is an adapter on them."""
    root = adapter_root(job.base_policy)
    return {} if root == job.base_policy else {"root": str(policies.fetched(root))}


def _reward_model(job: FineTune) -> Path:
    return shared_state.pull(lifecycle.reward_model(job.base_policy).reward_model_path)


def _needs_reward_model(job: FineTune) -> bool:
    return job.method == FineTune.Method.REINFORCEMENT


def _model_name(job: FineTune) -> str:
    if job.is_legacy:
        return model_names.legacy_name(
            job.model, job.suffix, job.run.started_at or job.created_at if job.run else job.created_at
        )
    return model_names.name(job.model, job.suffix)


def _facts(job: FineTune) -> dict[str, Any]:
    """For the model card; without anything that names a person."""
    return {
        "base": [policy.label or policy.name for policy in fine_tuned_models.lineage(job.base_policy)],
        "lines": job.chosen.get("rows"),
        "held_out": job.chosen.get("held_out"),
        "tokens": job.tokens,
        "form": job.training_file["form"],
        "sha256": job.training_file["sha256"],
        "method": job.method,
        "scope": job.scope,
    }


def collect(run: Run, result: Mapping[str, Any]) -> dict[str, Any]:
    job = _job_of(run)
    if job is None:
        raise BadResult(f"run {run.pk} no longer belongs to a job")
    return outcome.collect(job, run, result)


def moved(run: Run) -> None:
    """Called whenever a run has started, progressed or ended."""
    job = _job_of(run)
    if job is not None:
        lifecycle.follow(job)


def cancel(run: Run) -> bool:
    """An admin cancels the run, and the job with it. False where the job is over."""
    job = _job_of(run)
    if job is None or job.is_over:
        return False
    lifecycle.cancel(job)
    return True
