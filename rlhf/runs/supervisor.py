"""One supervisor drives one run: it starts the training process, copies its metrics, renews the lease, passes a
cancel on and writes down how it ended. It may die at any moment; the row and the checkpoint remain."""

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from django.db.models import Max

from chat.errors import BadPolicy
from rlhf.errors import ChildFailed, LeaseLost, RlhfError
from rlhf.models import Metric, Run
from rlhf.runs import leases, stages
from rlhf.runs.child_process import CHECKPOINTED, TrainingProcess, end_leftover, free_threads

POLL_S = 0.2
HEARTBEAT_S = 1.0
GRACE_S = 20.0
"""From the request to write a checkpoint to the kill."""
SILENCE_S = 1800.0
"""A child that writes neither a metric nor a line of log for this long hangs."""

log = logging.getLogger(__name__)
OnProgress = Callable[[Run], None]


class Supervisor:
    def __init__(self, on_progress: OnProgress | None = None, *, ends_with_parent: bool = False) -> None:
        self.owner = leases.new_owner()
        self._on_progress = on_progress or (lambda run: None)
        self._parent = os.getppid() if ends_with_parent else None

    def run_stage(self, run_id: int) -> Run:
        """Drives a stage to its end; one that was killed starts again from its checkpoint, a few times."""
        while run := leases.claim(run_id, self.owner):
            self._attend(run)
        leases.fail_if_exhausted(run_id)
        run = Run.objects.get(pk=run_id)
        stages.moved(run)
        return run

    def on_progress(self, run: Run) -> None:
        """Tells whoever is concerned that the run has started, got on or ended."""
        stages.moved(run)
        self._on_progress(run)

    def _attend(self, run: Run) -> None:
        end_leftover(run.pid, run.path)
        try:
            child = TrainingProcess(
                stages.CHILD_STAGES[Run.Kind(run.kind)], run.path, stages.child_config(run, free_threads())
            )
        except (RlhfError, OSError) as error:
            leases.end(run, self.owner, Run.State.FAILED, error=str(error))
            return
        try:
            leases.renew(run, self.owner)
            Run.objects.filter(pk=run.pk, owner=self.owner).update(pid=child.pid)
            stages.moved(run)
            watch = ProcessMonitor(self, run, child)
            watch.until_it_ends()
            _settle(run, child, self.owner, watch)
        except (KeyboardInterrupt, SystemExit):
            child.stop_within(GRACE_S)
            leases.end(run, self.owner, Run.State.CANCELLED, error="interrupted")
            raise
        finally:
            if child.poll() is None:  # whatever went wrong here, no trainer outlives its supervisor
                child.kill()

    def is_orphan(self) -> bool:
        """Whether the worker that this supervisor belongs to is gone."""
        return self._parent is not None and os.getppid() != self._parent


class ProcessMonitor:
    """The while of a child: from its start to its end."""

    def __init__(self, supervisor: Supervisor, run: Run, child: TrainingProcess) -> None:
        self.supervisor, self.run, self.child = supervisor, run, child
        self.cancelled = False
        self.hung = False
        self._stopped_at: float | None = None
        self._beat_at = 0.0
        self._sign_of_life = (0, time.monotonic())
        self._furthest = run.metrics.aggregate(step=Max("step"))["step"] or 0
        self.got_on = False
        """Further than any start before: such a start is not counted among those that came to nothing."""

    def until_it_ends(self) -> None:
        while self.child.poll() is None:
            time.sleep(POLL_S)
            self._copy_metrics()
            self._heartbeat()
            self._enforce()
        self._copy_metrics()

    def _copy_metrics(self) -> None:
        metrics = self.child.new_metrics()
        if not metrics:
            return
        _keep(self.run, metrics)
        self.got_on = self.got_on or metrics[-1]["step"] > self._furthest
        self.run.progress = _progress(self.run, metrics[-1])
        self.supervisor.on_progress(self.run)

    def _heartbeat(self) -> None:
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + HEARTBEAT_S
        first = {"attempt": 1} if self.got_on else {}
        asked = leases.renew(self.run, self.supervisor.owner, progress=self.run.progress, **first)
        self.cancelled = self.cancelled or asked
        orphaned = self.supervisor.is_orphan()
        if (self.cancelled or orphaned) and self._stopped_at is None:
            self._stopped_at = time.monotonic()
            self.child.stop()

    def _enforce(self) -> None:
        now = time.monotonic()
        written = sum(path.stat().st_size for path in self._files() if path.exists())
        if written != self._sign_of_life[0]:
            self._sign_of_life = (written, now)
        self.hung = now - self._sign_of_life[1] > SILENCE_S
        too_long = self._stopped_at is not None and now - self._stopped_at > GRACE_S
        if self.hung or too_long:
            self.child.kill()

    def _files(self) -> list[Any]:
        return [self.child.directory / "metrics.jsonl", self.child.directory / "log.txt"]


def _keep(run: Run, metrics: list[dict[str, Any]]) -> None:
    """Steps that a resumed child repeats replace those that it had written before."""
    newest = {metric["step"]: metric for metric in metrics}
    rows = [Metric(run=run, step=step, values=metric.get("values") or {}) for step, metric in newest.items()]
    Metric.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["run", "step"], update_fields=["values", "at"]
    )


def _progress(run: Run, metric: dict[str, Any]) -> dict[str, Any]:
    named = {key: metric.get(key) for key in ("step", "steps", "seconds", "seconds_left", "values")}
    return {"stage": run.stage or run.kind, **named}


def _settle(run: Run, child: TrainingProcess, owner: str, watch: ProcessMonitor) -> None:
    """Turns the end of a child into a state of its run."""
    try:
        result = child.result()
        made = stages.collect(run, result)  # may be done twice; so it is outside of the row's last change
        leases.end(run, owner, Run.State.SUCCEEDED, **{"result": result, "error": "", **made})
        child.remove_checkpoint()
    except ChildFailed as error:
        _settle_failure(run, owner, watch, error)
    except (BadPolicy, stages.BadResult) as error:
        leases.end(run, owner, Run.State.FAILED, error=f"what it made can't be used: {error}")
    run.refresh_from_db()
    watch.supervisor.on_progress(run)


def _settle_failure(run: Run, owner: str, watch: ProcessMonitor, error: ChildFailed) -> None:
    if watch.cancelled:
        leases.end(run, owner, Run.State.CANCELLED, error="")
    elif watch.hung:
        leases.end(run, owner, Run.State.FAILED, error=f"no sign of life for {SILENCE_S:.0f} s")
    elif error.exit_code == CHECKPOINTED or error.exit_code < 0:
        log.warning("run %s ended early, attempt %s: %s", run.pk, run.attempt, error.reason)
        leases.put_back(run, owner, error.reason, got_on=watch.got_on)
        if watch.supervisor.is_orphan():
            raise LeaseLost(run.pk)  # the next worker's turn, not this one's
    else:
        leases.end(run, owner, Run.State.FAILED, error=error.reason)
