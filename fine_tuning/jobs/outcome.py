"""Applies what a job's run has produced: progress events, the model and the result file, or the failure."""

import hashlib
import os
import secrets
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts import notices
from base import shared_state
from chat import policies
from chat.models import Policy
from fine_tuning import fine_tuned_models, model_names
from fine_tuning.jobs import events, job_directory, plan
from fine_tuning.models import DataFile, FineTune
from metering import ledger
from metering.models import Usage
from rlhf.models import Run
from rlhf.runs.stages import BadResult

State = FineTune.State
MOST_METRIC_EVENTS = 100
RESULTS_NAME = "step_metrics.csv"
NOT_ON_THE_RUN = ("comparison", "checkpoints")
"""Parts of a result that quote people's lines: stored with the job, not in the site's record of runs."""


def record_progress(job: FineTune, run: Run) -> None:
    """Events for complete epochs, and for some of the steps."""
    newest = run.metrics.order_by("-step").first()
    values = newest.values if newest is not None else {}
    done, total = values.get("epochs_done"), values.get("n_epochs")
    if isinstance(done, int) and isinstance(total, int):
        _record_epochs(job, done, total)
    _record_steps(job, run)


def _record_epochs(job: FineTune, done: int, total: int) -> None:
    for epoch in range(1, min(done, total) + 1):
        events.record(job, f"epoch:{epoch}", f"Completed epoch {epoch}/{total}")


def _record_steps(job: FineTune, run: Run) -> None:
    steps = run.progress.get("steps") or 0
    every = max(1, -(-steps // MOST_METRIC_EVENTS))
    recorded = set(job.events.filter(mark__startswith="step:").values_list("mark", flat=True))
    for step, values in run.metrics.values_list("step", "values"):
        loss = values.get("train/loss")
        if (step % every and step != steps) or f"step:{step}" in recorded or loss is None:
            continue
        data = {"step": step, "train_loss": loss, "total_steps": steps}
        data |= {
            "train_mean_token_accuracy": values.get("train/token_accuracy"),
            "valid_loss": values.get("eval/loss"),
        }
        known = {name: value for name, value in data.items() if value is not None}
        message = f"Step {step}/{steps}: training loss={loss:.2f}"
        events.record(job, f"step:{step}", message, kind="metrics", data=known)


# --- success --------------------------------------------------------------------------------------------------------


def collect(job: FineTune, run: Run, result: Mapping[str, Any]) -> dict[str, Any]:
    """Registers the model and the result file; returns fields of the run. Idempotent.

    Raises BadResult, BadPolicy.
    """
    policy = _register_model(job, run)
    file = _store_results(job, run, result)
    public = {name: value for name, value in result.items() if name not in NOT_ON_THE_RUN}
    FineTune.objects.filter(pk=job.pk).update(policy=policy, result_file=file, result=dict(result))
    return {"policy": policy, "result": public}


def _register_model(job: FineTune, run: Run) -> Policy:
    source = f"run:{run.pk}"
    known = Policy.objects.filter(source=source).first()
    if known is not None:
        return known
    return policies.register(
        fine_tuned_models.directory_of(run),
        name=_policy_name(job),
        source=source,
        base=job.base_policy,
        made_from_simulated=job.base_policy.made_from_simulated,
        owner=job.owner,
        group=job.group,
        label=job.fine_tuned_model,
    )


def _policy_name(job: FineTune) -> str:
    """Short, for pages and addresses; the label says more."""
    short = "".join(char for char in job.id.removeprefix("ftjob-").lower() if char.isalnum())
    name = f"ft-{short[:8]}"
    return name if not Policy.objects.filter(name=name).exists() else f"ft-{short}-{secrets.token_hex(2)}"


def _store_results(job: FineTune, run: Run, result: Mapping[str, Any]) -> DataFile | None:
    """The metrics of each step as a file of the person's; its id is derived from the job's, so there is only one."""
    path = run.path / str(result.get("results_csv") or "results.csv")
    if not path.resolve().is_relative_to(run.path.resolve()) or not path.is_file():
        raise BadResult(f"it wrote no {path.name}")
    file_id = "file-" + hashlib.sha256(job.id.encode()).hexdigest()[:24]
    known = DataFile.objects.filter(pk=file_id).first()
    if known is not None:
        return known
    content = path.read_bytes()
    file = DataFile(
        id=file_id,
        owner=job.owner,
        filename=RESULTS_NAME,
        purpose=DataFile.Purpose.RESULTS,
        state=DataFile.State.PROCESSED,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    with transaction.atomic():
        file.save(force_insert=True)
        _write_atomically(file.path, content)
        shared_state.publish(file.path)
    return file


def _write_atomically(path: Path, content: bytes) -> None:
    draft = path.with_name(f"tmp-{secrets.token_hex(8)}")
    draft.write_bytes(content)
    os.replace(draft, path)


def conclude(job: FineTune, run: Run) -> None:
    """Writes the state, the bill and the last events in one transaction."""
    with transaction.atomic():
        job = _locked(job)
        if job.is_over:
            if job.state == State.CANCELLED:
                transaction.on_commit(partial(discard, job))
            return
        trained = _count_or(run.result.get("trained_tokens"), plan.workload_of(job).trained_tokens)
        assert job.policy is not None
        ledger.record(
            bill_ref(job),
            user=job.owner_id,
            key=job.key_id,
            kind=Usage.Kind.TRAINING,
            names=[job.policy.name, *model_names.price_names(job.model, job.base_policy)],
            trained_tokens=trained,
        )
        record_progress(job, run)
        epochs = _count_or(run.result.get("n_epochs"), int(job.chosen.get("n_epochs", 1)))
        _record_epochs(job, epochs, epochs)
        chosen = ("n_epochs", "batch_size", "learning_rate_multiplier")
        job.chosen |= {name: run.result[name] for name in chosen if run.result.get(name) is not None}
        job.trained_tokens, job.error = trained, None
        job.state, job.finished_at, job.updated_at = State.SUCCEEDED, timezone.now(), timezone.now()
        job.save(update_fields=["chosen", "trained_tokens", "error", "state", "finished_at", "updated_at"])
        events.record(job, "uploaded_model", f"Uploaded model: {job.fine_tuned_model}")
        if job.result_file is not None:
            events.record(job, "uploaded_results", f"Uploaded result file: {job.result_file.id}")
        events.record(job, "succeeded", "Fine-tune succeeded")
        _tell_owner(job, notices.Kind.JOB_SUCCEEDED, {"model": job.fine_tuned_model})
        transaction.on_commit(partial(job_directory.tidy, job))


def bill_ref(job: FineTune) -> str:
    """The reference of the job's entry in the ledger."""
    return f"fine_tune:{job.id}"


def _count_or(value: Any, default: int) -> int:
    """The value where it is a whole number, else the default."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default


# --- failure and the end ------------------------------------------------------------------------------------------


def fail(job: FineTune, reason: str, *, code: str = "training_failed", param: str | None = None) -> None:
    """Marks the job as failed. A paused job stays paused: it may resume from its checkpoint."""
    with transaction.atomic():
        job = _locked(job)
        if job.is_over or job.state == State.PAUSED:
            return
        job.error = {"code": code, "message": reason[:1000], "param": param}
        job.state, job.finished_at, job.updated_at = State.FAILED, timezone.now(), timezone.now()
        job.save(update_fields=["error", "state", "finished_at", "updated_at"])
        events.record_repeatable(job, "failed", f"Fine-tune failed: {reason}", level="error")
        _tell_owner(job, notices.Kind.JOB_FAILED, {"model": job.model, "file": job.training_file.get("filename", "")})


def _tell_owner(job: FineTune, kind: notices.Kind, told: Mapping[str, str]) -> None:
    """A job that was resumed may end again, at another time."""
    link = reverse("own_model", args=[job.pk])
    notices.send(kind, {job.owner_id: told}, about=f"{job.pk} {job.finished_at:%Y-%m-%dT%H:%M:%S.%f}", link=link)


def run_was_cancelled(job: FineTune) -> None:
    """By a pause, by a cancel, or because the process that drove the run was ended."""
    with transaction.atomic():
        job = _locked(job)
        if job.state == State.RUNNING:
            job.state, job.finished_at, job.updated_at = State.CANCELLED, timezone.now(), timezone.now()
            job.save(update_fields=["state", "finished_at", "updated_at"])
            events.record(job, "cancelled", "Fine-tune cancelled", level="warn")
    tidy_if_cancelled(job)


def tidy_if_cancelled(job: FineTune) -> None:
    """Removes what only training needed, once the run has stopped."""
    if job.state == State.CANCELLED and (job.run is None or not Run.objects.get(pk=job.run.pk).is_live):
        job_directory.tidy(job)


def discard(job: FineTune) -> None:
    """Removes the model and the result file of a job. Raises CannotRetire."""
    if job.policy is not None:
        fine_tuned_models.retire(job.policy)
    elif job.run is not None:
        shared_state.remove(fine_tuned_models.directory_of(job.run))
    if job.result_file is not None:
        path = job.result_file.path
        job.result_file.delete()
        shared_state.remove(path)


def _locked(job: FineTune) -> FineTune:
    rows = FineTune.objects.select_for_update(of=("self",)).select_related(
        "policy", "base_policy__base", "result_file"
    )
    return rows.get(pk=job.pk)
