"""Starts a training process, reads its files and stops it. Knows the run directory, not the database."""

import fcntl
import json
import logging
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings

from base import shared_state
from base.child_environment import HUB_TOKENS, OF_DOWNLOADS, child_environment
from base.cores import usable_cores
from rlhf.errors import ChildFailed, TrainerStillAlive
from rlhf.runs import launchers, priority, rollout_servers, tinker_server

CHECKPOINT = "checkpoint"
"""Folder in a run's directory that it resumes from (rlhf.training.run)."""
LOG = "log.txt"
FETCH = "fetch"
"""The only stage that asks a hub."""
CHECKPOINTED = 75
"""Exit code of a child that was asked to stop and wrote a checkpoint."""

log = logging.getLogger(__name__)


class TrainingProcess:
    """One process on one run directory, or one with the several that it starts. They inherit a file lock that keeps
    others out even if this parent dies: the kernel releases it with the last process."""

    def __init__(self, stage: str, directory: Path, config: Mapping[str, Any], *, is_awaited: bool = False) -> None:
        """`is_awaited`: somebody waits for its end, so it is not put behind everything else."""
        self.directory = directory
        self._read_to = 0
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / "error.json").unlink(missing_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            of_the_site = {
                "served": settings.CHAT_GGUF,
                "thinking": settings.CHAT_THINKING,
                "profile": settings.RLHF_PROFILE.name,
                **settings.RLHF_PLACEMENT,
            }
            _write_json(directory / "config.json", {**of_the_site, **config})
            with (directory / LOG).open("ab") as log:
                self.process = subprocess.Popen(
                    launchers.command(stage, directory),
                    cwd=settings.BASE_DIR,
                    stdin=subprocess.PIPE,  # never written to: its end tells the child that this parent is gone
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=[lock],
                    env=environment(int(config.get("threads", 1)), needed=_needed_secrets(stage, config)),
                )
        except BlockingIOError:
            raise TrainerStillAlive(str(directory)) from None
        finally:
            os.close(lock)
        if not is_awaited and launchers.chosen().is_here:
            priority.lower(self.process.pid, settings.RLHF_NICENESS)

    @property
    def pid(self) -> int:
        return self.process.pid

    def poll(self) -> int | None:
        return self.process.poll()

    def stop(self) -> None:
        """Asks it to write a checkpoint and end."""
        self._signal(signal.SIGTERM)

    def remove_checkpoint(self) -> None:
        """After success, when nothing resumes from it any more."""
        shutil.rmtree(self.directory / CHECKPOINT, ignore_errors=True)

    def hand_over_result(self) -> None:
        """Once a row has it: where hosts share state, an erasure of words that it quotes would not find it here."""
        if shared_state.is_on():
            (self.directory / "result.json").unlink(missing_ok=True)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self.process.wait()
        self.close()

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()

    def _signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def stop_within(self, seconds: float) -> int:
        """Stops it, by force once the time is up; returns its exit code."""
        self.stop()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self.close()
        return int(self.process.returncode)

    def new_metrics(self) -> list[dict[str, Any]]:
        """Complete lines written since the last call; a line torn by a kill is passed over."""
        path = self.directory / "metrics.jsonl"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._read_to)
            text = file.read()
        complete = text[: text.rfind(b"\n") + 1]
        self._read_to += len(complete)
        return list(_metric_lines(complete))

    def result(self) -> dict[str, Any]:
        """Waits for the end and reads result.json. ChildFailed where the exit code is not 0."""
        code = self.process.wait()
        self.close()
        if code == 0:
            try:
                return dict(_finite(json.loads((self.directory / "result.json").read_text())))
            except (OSError, ValueError) as error:
                raise ChildFailed(code, f"it ended well but left no result: {error}") from error
        raise ChildFailed(code, _why_it_failed(self.directory, code))


def _why_it_failed(directory: Path, code: int) -> str:
    try:
        error = json.loads((directory / "error.json").read_text())
        return f"{error['code']}: {error['message']}"
    except (OSError, ValueError, KeyError, TypeError):
        pass  # it wrote none; the exit code and the last line of its log must do
    end = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    last = log_tail(directory, lines=1)
    return f"{end}: {last}" if last else end


def _metric_lines(text: bytes) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            metric = json.loads(line)
        except ValueError:
            continue
        if isinstance(metric, dict) and isinstance(metric.get("step"), int):
            yield _finite(metric)


def _finite(value: Any) -> Any:
    """JSON columns take no NaN and no infinity: they become None, which the gate refuses. PostgreSQL takes no zero
    character, which a model may well write."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def log_tail(directory: Path, lines: int = 40, limit: int = 32_768) -> str:
    path = directory / LOG
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - limit))
            content = file.read()
    except FileNotFoundError:
        content = _shared_log(path)[-limit:]
    text = content.decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def _shared_log(path: Path) -> bytes:
    """Of a stage that ended on another host; nothing where there is none."""
    try:
        return shared_state.read(path)
    except OSError:
        return b""


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1))
    os.replace(temporary, path)


def _needed_secrets(stage: str, config: Mapping[str, Any]) -> Collection[str]:
    if stage == FETCH:
        return (*HUB_TOKENS, *OF_DOWNLOADS)
    return (*rollout_servers.secrets(config), *tinker_server.secrets(config), *launchers.chosen().secrets)


def environment(threads: int, *, needed: Collection[str] = ()) -> dict[str, str]:
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    # Waiting threads spin; on a core that others use too, that made two threads slower than one.
    counts["GOMP_SPINCOUNT"] = "1000"
    return child_environment({**counts, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}, needed=needed)


def free_threads() -> int:
    """Idle cores, at least one: two busy threads on one idle core are many times slower than one."""
    if settings.RLHF_THREADS or not launchers.chosen().is_here:
        return launchers.elsewhere_threads()
    cores = usable_cores()
    busy = psutil.cpu_percent(interval=0.5) / 100 * (psutil.cpu_count() or cores)
    return max(1, cores - int(busy + 0.5))


def end_leftovers(directory: Path, patience_s: float = 20.0) -> None:
    """Ends the process that a dead supervisor left on this directory.

    By its command line, whose last word is the directory: a supervisor that died right after the start had no time
    to store the process's number, and a number may be another's by now.
    """
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [""])[-1] == str(directory):
            _end(process, patience_s)


def _end(process: psutil.Process, patience_s: float) -> None:
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        try:
            process.terminate()
            process.wait(patience_s)
        except psutil.TimeoutExpired:
            os.killpg(os.getpgid(process.pid), signal.SIGKILL)  # a process that shares a run is not its group's first
            _wait_gone(process.pid)
        except psutil.AccessDenied:  # another user's, as where a cluster runs as one; it still holds the directory
            log.warning("process %s on a run's directory is another user's and is left alone", process.pid)


def _wait_gone(pid: int, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.05)
