"""`python -m rlhf.training.ray_job --address URL COMMAND... RUN_DIR`: a stage as a job of a Ray cluster.

This process stands for the job: it has the log and the exit code, and to stop it is to stop the job. It speaks to the
Jobs API of Ray's head (https://docs.ray.io/en/latest/cluster/running-applications/job-submission/rest.html), and to
the job by its run directory (rlhf.training.watched). A job that was left behind has ended before the next is sent.
"""

import argparse
import json
import logging
import os
import secrets
import shlex
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from rlhf.training.watched import STOPPED, Watch

FAILED = 1
NAME, LAUNCHER = "ray", "CHAMSAE_LAUNCHED_BY"
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
KILLED = 128
"""Exit codes from here on are a shell's for a process that a signal killed."""
POLL_S, LOG_S = 0.5, 5.0
WAITING_S = 60.0
"""Between two lines of log about a job that has not begun."""
CHECKPOINT_S = 12.0
"""From the request to write a checkpoint until Ray is asked to end the job; the supervisor's patience covers it."""
AWAY_S, AWAY_AT_END_S = 600.0, 30.0
"""How long Ray may not answer: while a job is wanted, and once it shall end."""
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOMP_SPINCOUNT", "PYTHONUNBUFFERED")
"""Of this process's environment, which the job gets."""

log = logging.getLogger(__name__)


class JobRefused(Exception):
    """Ray says no, and would say so again."""


class RayAway(Exception):
    """Ray does not answer, or not with what was asked for."""


def authorization() -> dict[str, str]:
    """The header for a cluster that asks for a token."""
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    return {"Authorization": f"Bearer {token}"} if token else {}


class RayJobs:
    """Client of the Jobs API. Everything raises RayAway, and JobRefused but for jobs that are unknown."""

    def __init__(self, address: str) -> None:
        self._client = httpx.Client(base_url=address, headers=authorization(), timeout=10.0, trust_env=False)

    def submit(self, request: Mapping[str, Any]) -> None:
        self._ask("POST", "", json=dict(request))

    def details(self, job: str) -> dict[str, Any] | None:
        """None where Ray knows no such job."""
        return self._ask("GET", job)

    def log(self, job: str) -> str:
        return str((self._ask("GET", f"{job}/logs") or {}).get("logs") or "")

    def stop(self, job: str) -> None:
        """SIGTERM, and three seconds later SIGKILL."""
        self._ask("POST", f"{job}/stop")

    def _ask(self, method: str, path: str, **content: Any) -> dict[str, Any] | None:
        try:
            answer = self._client.request(method, f"/api/jobs/{path}", **content)
            if answer.status_code == httpx.codes.NOT_FOUND and path:
                return None
            if answer.is_client_error:
                raise JobRefused(f"Ray answers {answer.status_code}: {answer.text[:500]}")
            answer.raise_for_status()
            return dict(answer.json())
        except (httpx.HTTPError, ValueError, TypeError) as error:
            raise RayAway(f"Ray does not answer as it should: {error}") from error


class Stop:
    """Whether this process was asked to end, by a signal or by the end of the one that started it, and since when."""

    def __init__(self) -> None:
        self.asked_at: float | None = None

    def listen(self) -> None:
        """To signals, and to the pipe on stdin, which ends when the supervisor does, however it died."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ask())
        threading.Thread(target=self._read_to_end, daemon=True).start()

    def ask(self) -> None:
        self.asked_at = self.asked_at or time.monotonic()

    def after(self, seconds: float) -> bool:
        return self.asked_at is not None and time.monotonic() - self.asked_at > seconds

    def _read_to_end(self) -> None:
        while os.read(0, 4096):
            pass
        self.ask()


class JobWatch:
    """One job from its start, or from where another left it, to its end."""

    def __init__(self, jobs: RayJobs, directory: Path, job: str, stop: Stop, *, copies_log: bool = True) -> None:
        self.jobs, self.directory, self.job, self.stop, self.copies_log = jobs, directory, job, stop, copies_log
        self._beat = 0
        self._written = 0
        self._log_at = 0.0
        self._answered_at = time.monotonic()
        self._told_at = time.monotonic()
        self._earlier_result = self._result()

    def say(self) -> None:
        """To the job: it shall go on, or end."""
        self._beat += 1
        Watch(self.job, self._beat, stop=self.stop.asked_at is not None).write(self.directory)

    def send(self, request: Mapping[str, Any]) -> None:
        """Asks again while Ray is away, whose answer alone may have been lost. Raises JobRefused and RayAway."""
        while True:
            self.say()  # before it is sent, so that the next to come finds it whatever happens
            try:
                if self.jobs.details(self.job) is None:
                    self.jobs.submit(request)
                break
            except RayAway:
                if self.stop.asked_at is not None or self._is_away_for_long():
                    self.give_up()
                    raise
            time.sleep(POLL_S)
        self._answered_at = time.monotonic()

    def wait(self) -> int:
        """Until it has ended; its exit code, and STOPPED where it was stopped, or lost with its machine."""
        while (code := self.look()) is None:
            time.sleep(POLL_S)
        return code

    def look(self) -> int | None:
        """Its exit code; None where it is to be looked at again. One that waits for a machine, where Ray can't stop
        it, counts as stopped: once it begins it reads that it shall not."""
        self.say()
        try:
            return self._look()
        except (RayAway, JobRefused) as error:
            if not self._is_away_for_long():
                return None
            log.error("%s", error)
            return self.give_up()

    def _look(self) -> int | None:
        found = self.jobs.details(self.job)
        if found is None:
            log.error("Ray no longer knows the job %s", self.job)
            return self.give_up()
        self._answered_at = time.monotonic()
        self._copy_log(found["status"])
        if found["status"] in ENDED:
            return _exit_code(found)
        if found["status"] == "PENDING":
            return self._look_at_waiting(found)
        if self.stop.after(CHECKPOINT_S):
            self.jobs.stop(self.job)
        return None

    def _look_at_waiting(self, found: Mapping[str, Any]) -> int | None:
        if self.stop.asked_at is not None:
            self.jobs.stop(self.job)
            return self.give_up()
        if time.monotonic() - self._told_at > WAITING_S:
            self._told_at = time.monotonic()
            log.info("the job waits: %s", found.get("message"))
        return None

    def give_up(self) -> int:
        """It shall end by itself: STOPPED, and 0 where it has left its result."""
        self.stop.ask()
        self.say()
        return STOPPED if self._result() in (None, self._earlier_result) else 0

    def _result(self) -> int | None:
        """When it was written, by the clock of who wrote it."""
        try:
            return (self.directory / "result.json").stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _is_away_for_long(self) -> bool:
        return self.stop.after(AWAY_AT_END_S) or time.monotonic() - self._answered_at > AWAY_S

    def _copy_log(self, status: str) -> None:
        is_due = status in ENDED or (status != "PENDING" and time.monotonic() >= self._log_at)
        if not self.copies_log or not is_due:
            return
        self._log_at = time.monotonic() + LOG_S
        try:
            text = self.jobs.log(self.job)
        except (RayAway, JobRefused):  # it lies on the job's machine, which may be gone
            return
        sys.stdout.write(text[self._written :])
        sys.stdout.flush()
        self._written = max(self._written, len(text))


def _exit_code(found: Mapping[str, Any]) -> int:
    code = found.get("driver_exit_code")
    if found["status"] == "SUCCEEDED":
        return 0
    if found["status"] == "STOPPED" or code is None or not 0 < code < KILLED:
        log.error("the job ended early: %s", " ".join(str(found.get("message")).split())[:500])
        return STOPPED
    return int(code)


def _request_of(job: str, given: argparse.Namespace) -> dict[str, Any]:
    """What is submitted: the code, its interpreter and the run directory have the same paths on the job's machine."""
    command = [sys.executable, "-m", "rlhf.training.watched", job, *given.command]
    variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return {
        "submission_id": job,
        "entrypoint": f"cd {shlex.quote(os.getcwd())} && exec {shlex.join(command)}",
        "entrypoint_num_cpus": given.cpus,  # without any the job would run on the head
        "entrypoint_num_gpus": given.gpus,
        "runtime_env": {"env_vars": {**variables, LAUNCHER: NAME}},
        "metadata": {"run_directory": given.command[-1]},
    }


def _end_earlier(jobs: RayJobs, directory: Path, stop: Stop) -> None:
    """Ends the job that another left here, and waits for it. Its checkpoint is what the next begins with."""
    found = Watch.read(directory)
    if found is None or not _may_be_going(jobs, found.job):
        return
    log.info("the job %s was left behind and is ended first", found.job)
    now = Stop()
    now.ask()
    watch = JobWatch(jobs, directory, found.job, now, copies_log=False)
    while stop.asked_at is None and watch.look() is None:
        time.sleep(POLL_S)


def _may_be_going(jobs: RayJobs, job: str) -> bool:
    try:
        found = jobs.details(job)
    except (RayAway, JobRefused):
        return True
    return found is not None and found["status"] not in ENDED


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rlhf.training.ray_job", description=__doc__)
    parser.add_argument("--address", required=True, help="of the head's dashboard: http://head:8265")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--gpus", type=float, default=0)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="its last word is the run directory")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    stop = Stop()
    stop.listen()
    directory = Path(given.command[-1])
    try:
        return _run(RayJobs(given.address), directory, given, stop)
    except JobRefused as error:
        log.error("%s", error)
        (directory / "error.json").write_text(json.dumps({"code": "ray_refused", "message": str(error)}))
        return FAILED
    except (RayAway, OSError) as error:  # its job, if there is one, ends for want of news
        log.error("%s", error)
        return STOPPED


def _run(jobs: RayJobs, directory: Path, given: argparse.Namespace, stop: Stop) -> int:
    """Raises JobRefused, RayAway, OSError."""
    _end_earlier(jobs, directory, stop)
    if stop.asked_at is not None:
        return STOPPED
    watch = JobWatch(jobs, directory, f"chamsae-{directory.name}-{secrets.token_hex(6)}", stop)
    watch.send(_request_of(watch.job, given))
    log.info("the job %s was sent to Ray", watch.job)
    return watch.wait()


if __name__ == "__main__":
    sys.exit(main())
