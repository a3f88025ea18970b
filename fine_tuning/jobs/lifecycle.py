"""The life cycle of a job, with every transition of its state: create, queue, train, pause, cancel, delete."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import ApiKey, User
from base import shared_state
from base.state_errors import StateAway
from chat import policies
from chat.errors import BadPolicy, PolicyAway
from chat.models import Policy
from chat.queue import limits
from fine_tuning.data.formats import MESSAGES, PREFERENCE, PROMPT_COMPLETION
from fine_tuning.errors import (
    DiskFull,
    InvalidHyperparameter,
    NoRewardModel,
    NotTrainable,
    StillStopping,
    TooExpensive,
    TooManyJobs,
    TuningError,
    WrongForm,
    WrongState,
)
from fine_tuning.jobs import events, hyperparameters, job_directory, outcome, plan, reservations
from fine_tuning.models import DataFile, FineTune
from metering import budgets
from metering.models import Budget, Usage
from rlhf.models import Run
from rlhf.runs import disk_space, leases
from rlhf.tasks import enqueue

log = logging.getLogger(__name__)
State, Method, Scope = FineTune.State, FineTune.Method, FineTune.Scope
MOST_UNFINISHED = 8
"""Unfinished jobs that one person may have."""
AT_ONCE_BYTES = 4 * 2**20
"""Larger files are counted by the worker (`follow_all`), so that the request does not wait for it."""
COPIES_NEEDED = 3
"""Free disk that a job needs, in sizes of its base: the model, its GGUF, and a margin."""
FORMS: Mapping[str, tuple[str, ...]] = {
    Method.SUPERVISED: (PROMPT_COMPLETION, MESSAGES),
    Method.DPO: (PREFERENCE,),
    Method.REINFORCEMENT: (PROMPT_COMPLETION, MESSAGES),
}
ALGORITHMS: Mapping[str, str] = {Method.SUPERVISED: "sft", Method.DPO: "dpo", Method.REINFORCEMENT: "ppo"}
"""The run's name of each method."""
REPEAT_WITHIN = timedelta(minutes=10)
COUNTS_WITHIN = timedelta(minutes=15)


@dataclass(frozen=True)
class Order:
    """What a person orders. `model`: the name as they gave it; `policy`: what it resolves to."""

    person: User
    model: str
    policy: Policy
    training: DataFile
    validation: DataFile | None = None
    method: str = Method.SUPERVISED
    scope: str = Scope.LORA
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    suffix: str = ""
    seed: int = 0
    metadata: Mapping[str, str] | None = None
    key: ApiKey | None = None
    is_legacy: bool = False


def create(order: Order) -> FineTune:
    """Puts a new job in the queue. Raises TuningError, BudgetUsedUp, BadPolicy, and then leaves nothing behind."""
    _check(order)
    job = FineTune(
        owner=order.person,
        key=order.key,
        model=order.model,
        base_policy=order.policy,
        method=order.method,
        scope=order.scope,
        hyperparameters=hyperparameters.check(order.hyperparameters),
        suffix=order.suffix,
        seed=order.seed,
        metadata=dict(order.metadata) if order.metadata is not None else None,
        is_legacy=order.is_legacy,
        training_file=job_directory.describe(order.training),
        validation_file=job_directory.describe(order.validation) if order.validation else None,
    )
    job.updated_at = job.created_at
    try:
        job_directory.copy(job, order.training, order.validation)
        if order.training.bytes <= AT_ONCE_BYTES:
            _count(job)
        _admit_new(job)
    except BaseException:
        job_directory.remove(job)
        raise
    _advance()
    job.refresh_from_db()
    return job


def _check(order: Order) -> None:
    limits.check_budget(order.person.pk, order.key.pk if order.key else None)
    if FineTune.objects.filter(owner=order.person).exclude(state__in=FineTune.OVER).count() >= MOST_UNFINISHED:
        raise TooManyJobs(MOST_UNFINISHED)
    _check_base(order.policy)
    if order.training.form not in FORMS[order.method]:
        raise WrongForm(order.method, order.training.form)
    if order.validation is not None and order.validation.form != order.training.form:
        raise WrongForm(order.method, order.validation.form, "validation_file")
    if order.method == Method.REINFORCEMENT:
        reward_model(order.policy)
        if order.scope not in plan.SCOPES[order.method]:
            raise InvalidHyperparameter("scope", "lora: PPO trains adapters only")
    plan.refuse_scope(order.policy, order.scope)


def _check_base(policy: Policy) -> None:
    """Raises NotTrainable, DiskFull, BadPolicy."""
    if policy.is_scripted or policy.retired_at is not None:
        raise NotTrainable(policy.label or policy.name)
    if not policies.has_weights(policy):
        raise NotTrainable(policy.label or policy.name)
    needed = COPIES_NEEDED * policies.size_bytes(policy)
    if (shortage := disk_space.find_shortage(settings.MODELS_DIR, needed)) is not None:
        raise DiskFull(*shortage)


def reward_model(policy: Policy) -> Run:
    """The newest run whose reward model for this policy still exists. Raises NoRewardModel."""
    done = Run.objects.filter(kind=Run.Kind.REWARD_MODEL, state=Run.State.SUCCEEDED, base_policy=policy)
    runs = done.exclude(stage="judge")
    found = next((run for run in runs[:20] if shared_state.exists(run.reward_model_path)), None)
    if found is None:
        raise NoRewardModel(policy.label or policy.name)
    return found


def _count(job: FineTune) -> None:
    """Writes the training rows and counts their tokens, for the price. Raises UnfitLines, NothingThere, BadPolicy."""
    counted, held_out = job_directory.prepare(job)
    job.tokens = counted.tokens
    job.chosen = {
        "n_epochs": plan.epochs_of(job.hyperparameters, counted.rows, job.method),
        "batch_size": plan.batch_of(job.hyperparameters, counted.rows, job.method),
        "learning_rate_multiplier": job.hyperparameters.get("learning_rate_multiplier", 1.0),
        "rows": counted.rows,
        "held_out": held_out,
    }


def _check_affordable(job: FineTune) -> None:
    """Raises TooExpensive where what is left of a budget does not pay for the whole job.

    Called in the transaction that queues the job, with its owner's row locked: jobs are checked one at a time.
    """
    User.objects.select_for_update().get(pk=job.owner_id)
    cost = reservations.cost_of(job)
    for budget in Budget.objects.filter(Q(user=job.owner_id) | Q(key__isnull=False, key=job.key_id)):
        standing = budgets.standing(budget)
        if standing.taken + cost > budget.limit:
            raise TooExpensive(plan.dollars(cost))


def plan_of(job: FineTune) -> plan.JobPlan:
    """Of a job whose tokens were counted."""
    return plan.plan(job.model, job.base_policy, plan.workload_of(job))


def billed(job: FineTune) -> int | None:
    """Nano-dollars of a job that has succeeded; None for others, which are not billed."""
    return Usage.objects.filter(ref=outcome.bill_ref(job)).values_list("cost", flat=True).first()


def _admit_new(job: FineTune) -> None:
    """Raises TooExpensive."""
    with transaction.atomic():
        job.save(force_insert=True)
        events.record(job, "created", f"Created fine-tune: {_shown_id(job)}")
        if job.tokens:
            _admit(job)


def _admit(job: FineTune) -> None:
    """Queues the job, in the caller's transaction. Raises TooExpensive."""
    _check_affordable(job)
    job.state = State.QUEUED
    job.updated_at = timezone.now()
    job.save()
    events.record(job, "costs", f"Fine-tune costs {plan_of(job).cost_text}")
    events.record(job, "enqueued", f"Fine-tune enqueued. Queue number: {ahead_of(job)}")


def _count_waiting(job: FineTune) -> None:
    """Counts a large file, which `create` left to the worker; a count that died is repeated after a while."""
    rows = FineTune.objects.filter(pk=job.pk, state=State.VALIDATING, updated_at=job.updated_at)
    is_mine = job.updated_at <= job.created_at or job.updated_at < timezone.now() - COUNTS_WITHIN
    if not is_mine or not rows.update(updated_at=timezone.now()):
        return
    try:
        _count(job)
        with transaction.atomic():
            if FineTune.objects.select_for_update().get(pk=job.pk).state == State.VALIDATING:
                _admit(job)
    except (PolicyAway, StateAway) as error:
        log.warning("%s is counted again later: %s", job.pk, error)
        return
    except (TuningError, BadPolicy) as error:
        code, param = error.code, getattr(error, "param", None)
        outcome.fail(job, str(getattr(error, "message", "")) or str(error), code=code, param=param)
        return
    _advance()


def ahead_of(job: FineTune) -> int:
    """How many jobs are trained before this one."""
    earlier = Q(created_at__lt=job.created_at) | Q(created_at=job.created_at, pk__lt=job.pk)
    unfinished = FineTune.objects.filter(state__in=(State.QUEUED, State.RUNNING)).exclude(pk=job.pk)
    return unfinished.filter(earlier | Q(state=State.RUNNING)).count()


def _shown_id(job: FineTune) -> str:
    return job.legacy_id if job.is_legacy else job.id


def repeated(order: Order) -> FineTune | None:
    """The job that the same key made from the same order a moment ago: clients retry when no answer arrives."""
    since = timezone.now() - REPEAT_WITHIN
    jobs = FineTune.objects.filter(owner=order.person, key=order.key, model=order.model, created_at__gt=since)
    validation = order.validation.id if order.validation else None
    for job in jobs:
        same_files = (job.training_file["id"], (job.validation_file or {}).get("id")) == (
            order.training.id,
            validation,
        )
        same_rest = (job.method, job.suffix, job.is_legacy) == (order.method, order.suffix, order.is_legacy)
        if same_files and same_rest:
            return job
    return None


# --- the queue ----------------------------------------------------------------------------------------------------


def _advance() -> FineTune | None:
    """Starts the job that waits longest, unless another is being trained: there is one trainer. The started job."""
    try:
        with transaction.atomic():
            waiting = FineTune.objects.select_for_update().filter(state=State.QUEUED).order_by("created_at", "pk")
            live = Run.objects.filter(kind=Run.Kind.FINE_TUNE, state__in=Run.LIVE)
            job = None if live.exists() else waiting.first()
            if job is None:
                return None
            enqueue(_begin(job).pk)
            return job
    except IntegrityError:  # another process started a job at the same moment
        return None


def _begin(job: FineTune) -> Run:
    """The run of a job that starts: a new one, or its paused one, which resumes from its checkpoint."""
    if job.run is not None:
        leases.requeue(job.run)
        return job.run
    run = Run.objects.create(
        kind=Run.Kind.FINE_TUNE,
        algorithm=ALGORITHMS[job.method],
        base_policy=job.base_policy,
        directory=job_directory.directory_name(job),
        config={"seed": job.seed, "hyperparameters": job.hyperparameters},
        started_by=job.owner,
        lease_until=leases.later(leases.NUDGE_AFTER),
    )
    FineTune.objects.filter(pk=job.pk).update(run=run)
    job.run = run
    return run


# --- what people can do -------------------------------------------------------------------------------------------


def cancel(job: FineTune) -> FineTune:
    """Ends it for good. Raises WrongState."""
    with transaction.atomic():
        job = _locked(job)
        if job.is_over:
            raise WrongState(_shown_id(job), job.state, "cancel")
        _change(job, State.CANCELLED, finished_at=timezone.now())
        events.record(job, "cancelled", "Fine-tune cancelled", level="warn")
        if job.run is not None:
            leases.cancel(job.run)
    outcome.tidy_if_cancelled(job)
    _advance()
    return job


def pause(job: FineTune) -> FineTune:
    """Stops it with a checkpoint, or takes it out of the queue. Raises WrongState."""
    with transaction.atomic():
        job = _locked(job)
        if job.state not in (State.QUEUED, State.RUNNING):
            raise WrongState(_shown_id(job), job.state, "pause")
        _change(job, State.PAUSED)
        events.record_repeatable(job, "paused", "Fine-tune paused")
        if job.run is not None:
            leases.cancel(job.run)
    _advance()
    return job


def resume(job: FineTune) -> FineTune:
    """Queues it again, by its age; it resumes from its checkpoint.

    Raises WrongState, StillStopping, BudgetUsedUp, TooExpensive.
    """
    with transaction.atomic():
        job = _locked(job)
        if not can_resume(job):
            raise WrongState(_shown_id(job), job.state, "resume")
        if job.run is not None and job.run.is_live:
            raise StillStopping(_shown_id(job))
        limits.check_budget(job.owner_id, job.key_id)
        _check_affordable(job)
        _change(job, State.QUEUED, error=None, finished_at=None)
        events.record_repeatable(job, "resumed", f"Fine-tune resumed. Queue number: {ahead_of(job)}")
    _advance()
    return job


def can_resume(job: FineTune) -> bool:
    """Not a job whose lines were never counted: it has no rows to train on, and its cost is unknown."""
    is_stopped = job.state in (State.PAUSED, State.FAILED) and bool(job.chosen)
    return is_stopped and job_directory.has_rows(job)


def delete(job: FineTune) -> None:
    """The job, its model and its results. Raises WrongState, and CannotRetire where the model is in use."""
    if not job.is_over or (job.run is not None and job.run.is_live):
        raise WrongState(_shown_id(job), job.state, "delete")
    outcome.discard(job)
    with transaction.atomic():
        run = job.run
        job.delete()
        if run is not None:  # its result quotes people's lines
            Run.objects.filter(pk=run.pk).update(result={}, progress={})
        transaction.on_commit(partial(job_directory.remove, job), robust=True)


def _locked(job: FineTune) -> FineTune:
    rows = FineTune.objects.select_for_update(of=("self",)).select_related("run", "base_policy", "owner")
    return rows.get(pk=job.pk)


def _change(job: FineTune, state: FineTune.State, **fields: Any) -> None:
    job.state, job.updated_at = state, timezone.now()
    for name, value in fields.items():
        setattr(job, name, value)
    job.save(update_fields=["state", "updated_at", *fields])


# --- following its run --------------------------------------------------------------------------------------------


def follow(job: FineTune) -> None:
    """Brings the job's state up to that of its run, which is authoritative. Idempotent."""
    run = job.run
    if run is None:
        return
    run.refresh_from_db(fields=["state", "error", "result"])
    if run.state == Run.State.RUNNING:
        _started(job)
        outcome.record_progress(job, run)
    elif run.state == Run.State.SUCCEEDED:
        outcome.conclude(job, run)
    elif run.state == Run.State.FAILED:
        outcome.fail(job, run.error)
    elif run.state == Run.State.CANCELLED:
        outcome.run_was_cancelled(job)
    if not run.is_live:
        _advance()


def _started(job: FineTune) -> None:
    with transaction.atomic():
        if FineTune.objects.filter(pk=job.pk, state=State.QUEUED).update(
            state=State.RUNNING, updated_at=timezone.now()
        ):
            job.state = State.RUNNING
            events.record(job, "started", "Fine-tune started")


def follow_all() -> None:
    """Catches up after processes that died: jobs behind their runs, uncounted files, an idle trainer."""
    behind = FineTune.objects.exclude(state__in=FineTune.OVER).exclude(run=None).select_related("run")
    for job in behind.exclude(run__state__in=(Run.State.QUEUED,)):
        follow(job)
    for job in FineTune.objects.filter(state=State.VALIDATING).select_related("base_policy"):
        _count_waiting(job)
    _advance()
