"""Shared by this app's commands: drive a run in the foreground with progress on stderr, find rows by name or id."""

import json
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.models import User
from base.commands import ChamsaeCommand, Exit, Meter
from chat.errors import BadPolicy, NoLivePolicy
from chat.models import Policy
from rlhf.errors import CycleUnderWay, NotEnoughFeedback, NothingToRollBackTo, RlhfError
from rlhf.models import Run, Snapshot
from rlhf.runs import cycle, leases
from rlhf.runs.stages import CHILD_STAGES, JUDGE
from rlhf.runs.supervisor import Supervisor
from rlhf.snapshots import freezing, withdrawals


class RlhfCommand(ChamsaeCommand):
    failures: tuple[type[Exception], ...] = (RlhfError, NoLivePolicy, BadPolicy)
    nothing = (NotEnoughFeedback, CycleUnderWay, NothingToRollBackTo)

    def drive(self, run: Run, title: str) -> Run:
        """Drives a run in this process instead of the worker."""
        with self.progress(title) as meter:
            return cycle.drive(run.pk, Supervisor(lambda moved: _show(meter, moved)))

    def finish_run(self, run: Run, result: Mapping[str, Any] | None = None) -> None:
        """Prints the run's result, or its error with exit code 1."""
        if run.state == Run.State.SUCCEEDED:
            self.finish(result if result is not None else {"run": run.pk, **run.result})
            return
        error = {"code": run.state, "message": run.error or str(run.get_state_display())}
        self.finish({"run": run.pk, "error": error}, Exit.FAILED, f"run {run.pk}: {error['message']}")


def add_settings(parser: CommandParser, example: str) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="NAME=VALUE",
        help=f"set a hyperparameter, for example {example}; can be given several times",
    )


def _setting(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` with a value in JSON, or a bare word."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def by_stage(settings: Sequence[tuple[str, Any]]) -> dict[str, dict[str, Any]]:
    """`policy.violation_weight=8` and the like, sorted by stage."""
    stages: dict[str, dict[str, Any]] = {}
    for name, value in settings:
        stage, dot, own = name.partition(".")
        if not dot or stage not in (*CHILD_STAGES, JUDGE):
            known = ", ".join((*CHILD_STAGES, JUDGE))
            raise CommandError(f"--set {name}: expected STAGE.NAME=VALUE, with one of {known}", returncode=Exit.USAGE)
        stages.setdefault(stage, {})[own] = value
    return stages


def _show(meter: Meter, run: Run) -> None:
    progress = run.progress
    values = progress.get("values") or {}
    shown = [f"{name.split('/')[-1]} {value:.3g}" for name, value in values.items() if isinstance(value, int | float)]
    note = " ".join([str(progress.get("stage", "")).replace("_", " "), *shown[:3]])
    meter(progress.get("step") or 0, progress.get("steps") or 0, note)


def snapshot_by_id(snapshot_id: int | None) -> Snapshot:
    """The snapshot of that id; without one, the feedback as it stands now."""
    if snapshot_id is None:
        return freezing.freeze()
    found = Snapshot.objects.filter(pk=snapshot_id).first()
    if found is None:
        raise CommandError(f"there is no snapshot {snapshot_id}", returncode=Exit.USAGE)
    return found


def policy_by_name(name: str) -> Policy:
    found = Policy.objects.filter(name=name).first()
    if found is None:
        known = ", ".join(Policy.objects.values_list("name", flat=True)) or "none yet"
        raise CommandError(f"there is no policy {name!r}; known: {known}", returncode=Exit.USAGE)
    return found


def user_by_name(name: str | None) -> User | None:
    if name is None:
        return None
    found = User.objects.filter(username=name).first()
    if found is None:
        raise CommandError(f"there is no user {name!r}", returncode=Exit.USAGE)
    return found


def reward_model_run(run_id: int | None, snapshot: Snapshot | None = None) -> Run:
    """The run of that id, or the newest that made a reward model from training judgements."""
    runs = Run.objects.filter(kind=Run.Kind.REWARD_MODEL, state=Run.State.SUCCEEDED).exclude(stage=cycle.JUDGE)
    if snapshot is not None:
        runs = runs.filter(snapshot=snapshot)
    found = runs.first() if run_id is None else runs.filter(pk=run_id).first()
    if found is None:
        raise CommandError("no such reward model; run train_reward_model first", returncode=Exit.USAGE)
    return found


def new_run(kind: Run.Kind, **fields: Any) -> Run:
    """Raises SnapshotErased, SnapshotWithdrawn."""
    withdrawals.refuse(fields.get("snapshot"), kind)
    return Run.objects.create(kind=kind, lease_until=leases.later(leases.NUDGE_AFTER), **fields)
