"""What comes of a job's run: progress as events, a model and a result file, or why there is none."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from chat import policies
from chat.models import Policy
from fine_tuning import made_models, names
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
"""Of a result: quotes of people's lines stay with their job, out of the site's own record of runs."""


def tell_progress(job: FineTune, run: Run) -> None:
    """Epochs that are complete, and some of the steps."""
    newest = run.metrics.order_by("-step").first()
    values = newest.values if newest is not None else {}
    done, of = values.get("epochs_done"), values.get("n_epochs")
    if isinstance(done, int) and isinstance(of, int):
        _tell_epochs(job, done, of)
    _tell_steps(job, run)


def _tell_epochs(job: FineTune, done: int, of: int) -> None:
    for epoch in range(1, min(done, of) + 1):
        events.tell(job, f"epoch:{epoch}", f"Completed epoch {epoch}/{of}")


def _tell_steps(job: FineTune, run: Run) -> None:
    steps = run.progress.get("steps") or 0
    every = max(1, -(-steps // MOST_METRIC_EVENTS))
    told = set(job.events.filter(mark__startswith="step:").values_list("mark", flat=True))
    for step, values in run.metrics.values_list("step", "values"):
        loss = values.get("train/loss")
        if (step % every and step != steps) or f"step:{step}" in told or loss is None:
            continue
        data = {"step": step, "train_loss": loss, "total_steps": steps}
        data |= {
            "train_mean_token_accuracy": values.get("train/token_accuracy"),
            "valid_loss": values.get("eval/loss"),
        }
        known = {name: value for name, value in data.items() if value is not None}
        message = f"Step {step}/{steps}: training loss={loss:.2f}"
        events.tell(job, f"step:{step}", message, kind="metrics", data=known)


# --- it went well -------------------------------------------------------------------------------------------------


def collect(job: FineTune, run: Run, result: Mapping[str, Any]) -> dict[str, Any]:
    """Makes rows of what the training left; returns fields of the run. Twice is as good as once.

    Raises BadResult, BadPolicy.
    """
    policy = _registered(job, run)
    file = _results_of(job, run, result)
    kept = {name: value for name, value in result.items() if name not in NOT_ON_THE_RUN}
    FineTune.objects.filter(pk=job.pk).update(policy=policy, result_file=file, result=dict(result))
    return {"policy": policy, "result": kept}


def _registered(job: FineTune, run: Run) -> Policy:
    source = f"run:{run.pk}"
    with transaction.atomic():
        known = Policy.objects.filter(source=source).first()
        if known is not None:
            return known
        made = policies.register(
            made_models.directory_of(run),
            name=_policy_name(job),
            source=source,
            base=job.base_policy,
            made_from_simulated=job.base_policy.made_from_simulated,
        )
        made.owner, made.group, made.label = job.owner, job.group, job.fine_tuned_model
        made.save(update_fields=["owner", "group", "label"])
    return made


def _policy_name(job: FineTune) -> str:
    """Short, for people's eyes and for addresses; the label says more."""
    short = "".join(char for char in job.id.removeprefix("ftjob-").lower() if char.isalnum())
    name = f"ft-{short[:8]}"
    return name if not Policy.objects.filter(name=name).exists() else f"ft-{short}-{secrets.token_hex(2)}"


def _results_of(job: FineTune, run: Run, result: Mapping[str, Any]) -> DataFile | None:
    """The figures of each step as a file of the person's; its id follows from the job's, so that there is one."""
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
        _put(file.path, content)
    return file


def _put(path: Path, content: bytes) -> None:
    draft = path.with_name(f"tmp-{secrets.token_hex(8)}")
    draft.write_bytes(content)
    os.replace(draft, path)


def conclude(job: FineTune, run: Run) -> None:
    """The state, what it is billed at and its last events are there at once or not at all."""
    with transaction.atomic():
        job = _locked(job)
        if job.is_over:
            if job.state == State.CANCELLED:
                transaction.on_commit(partial(discard, job))
            return
        trained = _whole(run.result.get("trained_tokens"), plan.course_of(job).trained_tokens)
        assert job.policy is not None
        ledger.record(
            bill_ref(job),
            user=job.owner_id,
            key=job.key_id,
            kind=Usage.Kind.TRAINING,
            names=[job.policy.name, *names.price_names(job.model, job.base_policy)],
            trained_tokens=trained,
        )
        tell_progress(job, run)
        epochs = _whole(run.result.get("n_epochs"), int(job.chosen.get("n_epochs", 1)))
        _tell_epochs(job, epochs, epochs)
        chosen = ("n_epochs", "batch_size", "learning_rate_multiplier")
        job.chosen |= {name: run.result[name] for name in chosen if run.result.get(name) is not None}
        job.trained_tokens, job.error = trained, None
        job.state, job.finished_at, job.updated_at = State.SUCCEEDED, timezone.now(), timezone.now()
        job.save(update_fields=["chosen", "trained_tokens", "error", "state", "finished_at", "updated_at"])
        events.tell(job, "uploaded_model", f"Uploaded model: {job.fine_tuned_model}")
        if job.result_file is not None:
            events.tell(job, "uploaded_results", f"Uploaded result file: {job.result_file.id}")
        events.tell(job, "succeeded", "Fine-tune succeeded")
        transaction.on_commit(partial(job_directory.tidy, job))


def bill_ref(job: FineTune) -> str:
    """Under which the ledger keeps it."""
    return f"fine_tune:{job.id}"


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default


# --- it did not ---------------------------------------------------------------------------------------------------


def fail(job: FineTune, reason: str, *, code: str = "training_failed", param: str | None = None) -> None:
    """A job that is paused stays so: it may go on from its checkpoint."""
    with transaction.atomic():
        job = _locked(job)
        if job.is_over or job.state == State.PAUSED:
            return
        job.error = {"code": code, "message": reason[:1000], "param": param}
        job.state, job.finished_at, job.updated_at = State.FAILED, timezone.now(), timezone.now()
        job.save(update_fields=["error", "state", "finished_at", "updated_at"])
        events.tell_again(job, "failed", f"Fine-tune failed: {reason}", level="error")


def stopped(job: FineTune) -> None:
    """Its run was cancelled: by a pause, by a cancel, or by whoever ended the process that drove it."""
    with transaction.atomic():
        job = _locked(job)
        if job.state == State.RUNNING:
            job.state, job.finished_at, job.updated_at = State.CANCELLED, timezone.now(), timezone.now()
            job.save(update_fields=["state", "finished_at", "updated_at"])
            events.tell(job, "cancelled", "Fine-tune cancelled", level="warn")
    after_the_end(job)


def after_the_end(job: FineTune) -> None:
    """What only the training needed goes once nobody trains any more."""
    if job.state == State.CANCELLED and (job.run is None or not Run.objects.get(pk=job.run.pk).is_live):
        job_directory.tidy(job)


def discard(job: FineTune) -> None:
    """Takes back what a job has made. Raises CannotRetire."""
    if job.policy is not None:
        made_models.retire(job.policy)
    elif job.run is not None:
        shutil.rmtree(made_models.directory_of(job.run), ignore_errors=True)
    if job.result_file is not None:
        path = job.result_file.path
        job.result_file.delete()
        path.unlink(missing_ok=True)


def _locked(job: FineTune) -> FineTune:
    rows = FineTune.objects.select_for_update(of=("self",)).select_related(
        "policy", "base_policy__base", "result_file"
    )
    return rows.get(pk=job.pk)
