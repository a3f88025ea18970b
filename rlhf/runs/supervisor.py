"""Drives one run: starts its training process, copies metrics, renews the lease, passes on a cancel, records the end.

The supervisor may die at any moment; the row and the checkpoint remain.
"""

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from django.db import connections
from django.db.models import Max
from django.db.utils import InterfaceError, OperationalError

from chat.errors import BadPolicy, PolicyAway
from rlhf.errors import ChildFailed, LeaseLost, RlhfError
from rlhf.models import Metric, Run
from rlhf.runs import leases, rollout_servers, stages
from rlhf.runs.child_process import CHECKPOINTED, LOG, TrainingProcess, end_leftovers, free_threads
from rlhf.runs.lease_keeper import lease_kept

POLL_S = 0.2
HEARTBEAT_S = 1.0
GRACE_S = 20.0
"""From the request to write a checkpoint to the kill."""
SILENCE_S = 1800.0
"""A process that writes neither a metric nor a line of log for this long counts as hung."""
AWAY = (OperationalError, InterfaceError)
"""What Django raises where the database does not answer or, on SQLite, is locked for too long."""
RETRY_S = 1.0

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
            self._run_process(run)
        leases.fail_if_exhausted(run_id)
        run = Run.objects.get(pk=run_id)
        stages.moved(run)
        return run

    def on_progress(self, run: Run) -> None:
        """Called when the run has progressed or ended."""
        stages.moved(run)
        self._on_progress(run)

    def _run_process(self, run: Run) -> None:
        end_leftovers(run.path)
        try:
            with lease_kept(run, self.owner):
                config = stages.child_config(run, free_threads())
            process = TrainingProcess(stages.child_stage(run), run.path, config)
        except (RlhfError, BadPolicy, OSError) as error:
            leases.end(run, self.owner, Run.State.FAILED, error=str(error))
            return
        try:
            leases.renew(run, self.owner)
            Run.objects.filter(pk=run.pk, owner=self.owner).update(pid=process.pid)
            stages.moved(run)
            monitor = ProcessMonitor(self, run, process)
            monitor.wait()
            _when_database_answers(partial(self._tidy, run, config), self)
            _when_database_answers(partial(_record_end, monitor), self)
        except (KeyboardInterrupt, SystemExit):
            process.stop_within(GRACE_S)
            self._tidy(run, config)
            leases.end(run, self.owner, Run.State.CANCELLED, error="interrupted")
            raise
        finally:
            if process.poll() is None:  # whatever went wrong here, no trainer outlives its supervisor
                process.kill()
            process.close()

    def _tidy(self, run: Run, config: dict[str, Any]) -> None:
        """While the lease is held: of a run that another took over the adapters are in use. What stays there costs
        less than the end of a run that nobody records. Raises LeaseLost."""
        if rollout_servers.KEY not in config:
            return
        leases.renew(run, self.owner)
        try:
            rollout_servers.tidy(config[rollout_servers.KEY])
        except Exception:
            log.exception("run %s leaves its adapters on the servers", run.pk)

    def is_orphan(self) -> bool:
        """Whether the worker that this supervisor belongs to is gone."""
        return self._parent is not None and os.getppid() != self._parent


class ProcessMonitor:
    """Watches one training process from its start to its end."""

    def __init__(self, supervisor: Supervisor, run: Run, process: TrainingProcess) -> None:
        self.supervisor, self.run, self.process = supervisor, run, process
        self.cancelled = False
        self.hung = False
        self._stopped_at: float | None = None
        self._heartbeat_at = 0.0
        self._last_output = (0, time.monotonic())
        self._unstored: list[dict[str, Any]] = []
        self._furthest_step = run.metrics.aggregate(step=Max("step"))["step"] or 0
        self.progressed = False
        """Whether this attempt got further than all before; then it does not count towards MAX_ATTEMPTS."""

    def wait(self) -> None:
        """Until the process has ended. A database that is away costs nothing but reports: the training goes on, and
        what it reported meanwhile is stored later."""
        while self.process.poll() is None:
            time.sleep(POLL_S)
            try:
                self._copy_metrics()
                self._heartbeat()
            except AWAY as error:
                _await_database(error)
            self._enforce()
        _when_database_answers(self._copy_metrics, self.supervisor)

    def _copy_metrics(self) -> None:
        self._unstored += self.process.new_metrics()
        if not self._unstored:
            return
        metrics = self._unstored
        _store(self.run, metrics)
        self._unstored = []
        self.progressed = self.progressed or metrics[-1]["step"] > self._furthest_step
        self.run.progress = _progress(self.run, metrics[-1])
        self.supervisor.on_progress(self.run)

    def _heartbeat(self) -> None:
        if time.monotonic() < self._heartbeat_at:
            return
        self._heartbeat_at = time.monotonic() + HEARTBEAT_S
        counted = {"attempt": 1} if self.progressed else {}
        is_cancelling = leases.renew(self.run, self.supervisor.owner, progress=self.run.progress, **counted)
        self.cancelled = self.cancelled or is_cancelling

    def _enforce(self) -> None:
        now = time.monotonic()
        if (self.cancelled or self.supervisor.is_orphan()) and self._stopped_at is None:
            self._stopped_at = now
            self.process.stop()
        written = sum(path.stat().st_size for path in self._files() if path.exists())
        if written != self._last_output[0]:
            self._last_output = (written, now)
        self.hung = now - self._last_output[1] > SILENCE_S
        too_long = self._stopped_at is not None and now - self._stopped_at > GRACE_S
        if self.hung or too_long:
            self.process.kill()

    def _files(self) -> list[Path]:
        return [self.process.directory / "metrics.jsonl", self.process.directory / LOG]


def _when_database_answers(act: Callable[[], None], supervisor: Supervisor) -> None:
    """Does what can be done again once the database is back. Raises its error where the worker is gone."""
    while True:
        try:
            return act()
        except AWAY as error:
            if supervisor.is_orphan():
                raise
            _await_database(error)


def _await_database(error: Exception) -> None:
    log.warning("the database does not answer; the training goes on: %s", error)
    connections.close_all()  # a connection that broke never mends
    time.sleep(RETRY_S)


def _store(run: Run, metrics: list[dict[str, Any]]) -> None:
    """Steps that a resumed process repeats replace those that were stored before."""
    newest = {metric["step"]: metric for metric in metrics}
    rows = [Metric(run=run, step=step, values=metric.get("values") or {}) for step, metric in newest.items()]
    Metric.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["run", "step"], update_fields=["values", "at"]
    )


def _progress(run: Run, metric: dict[str, Any]) -> dict[str, Any]:
    named = {key: metric.get(key) for key in ("step", "steps", "seconds", "seconds_left", "values")}
    return {"stage": run.stage or run.kind, **named}


def _record_end(monitor: ProcessMonitor) -> None:
    """Sets the run's final state by how its process ended."""
    run, owner = monitor.run, monitor.supervisor.owner
    try:
        result = monitor.process.result()
        with lease_kept(run, owner):
            made = stages.collect(
                run, result
            )  # idempotent, so it need not be in one transaction with the row's last change
            stages.publish(run)
        leases.end(run, owner, Run.State.SUCCEEDED, **{"result": result, "error": "", **made})
        monitor.process.remove_checkpoint()
        monitor.process.hand_over_result()
    except ChildFailed as error:
        _record_failure(monitor, error)
    except (PolicyAway, OSError) as error:  # a resume begins at its checkpoint, which is kept
        leases.end(run, owner, Run.State.FAILED, error=str(error))
    except (BadPolicy, stages.BadResult) as error:
        leases.end(run, owner, Run.State.FAILED, error=f"what it made can't be used: {error}")
    run.refresh_from_db()
    monitor.supervisor.on_progress(run)


def _record_failure(monitor: ProcessMonitor, error: ChildFailed) -> None:
    run, owner = monitor.run, monitor.supervisor.owner
    try:
        with lease_kept(run, owner):
            stages.publish_log(run)
    except OSError as away:
        log.warning("the log of run %s stays on this host: %s", run.pk, away)
    if monitor.cancelled:
        leases.end(run, owner, Run.State.CANCELLED, error="")
    elif monitor.hung:
        leases.end(run, owner, Run.State.FAILED, error=f"no sign of life for {SILENCE_S:.0f} s")
    elif error.exit_code == CHECKPOINTED or error.exit_code < 0:
        log.warning("run %s ended early, attempt %s: %s", run.pk, run.attempt, error.reason)
        leases.put_back(run, owner, error.reason, progressed=monitor.progressed)
        if monitor.supervisor.is_orphan():
            raise LeaseLost(run.pk)  # the next worker's turn, not this one's
    else:
        leases.end(run, owner, Run.State.FAILED, error=error.reason)
