"""A run directory as its stage sees it: configuration in, metrics and a result out, stop on SIGTERM or orphaned."""

import json
import logging
import math
import os
import resource
import shutil
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from rlhf.training.process import prepare_process

DONE, FAILED, STOPPED = 0, 1, 75
"""Exit codes; 75 is EX_TEMPFAIL: start again and it resumes from its checkpoint."""
GRACE_S = 60.0
"""After the parent's death, before the process exits without having stopped."""

log = logging.getLogger(__name__)


class Stopped(Exception):
    """The stage was asked to stop and has written its checkpoint."""


@dataclass
class BadConfig(Exception):
    """config.json is missing, is not JSON, or lacks a key."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class RunDirectory:
    """The interface between a stage and the site: files in one directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started = time.monotonic()
        self._stop = threading.Event()
        self._first_step: int | None = None
        try:
            self.config: dict[str, Any] = json.loads((path / "config.json").read_text())
        except (OSError, ValueError) as error:
            raise BadConfig(path / "config.json", str(error)) from error

    def __getitem__(self, key: str) -> Any:
        if key not in self.config:
            raise BadConfig(self.path / "config.json", f"the key {key!r} is missing")
        return self.config[key]

    def directory(self, key: str) -> Path:
        """The path under `key`, absolute or relative to the working directory."""
        return Path(self[key]).absolute()

    @property
    def checkpoint(self) -> Path:
        """Where a stage stores what it resumes from."""
        return self.path / "checkpoint"

    @property
    def states(self) -> Path:
        """What was computed once and is read again, large, and needed by nobody after the end."""
        return self.path / "states"

    @property
    def hyperparameters(self) -> dict[str, Any]:
        values: dict[str, Any] = self.config.get("hyperparameters") or {}
        return values

    @property
    def seed(self) -> int:
        return int(self.config.get("seed", 0))

    @property
    def served(self) -> str:
        """The type of the GGUF file of a policy that is published here."""
        return str(self.config.get("served") or "q8_0")

    def should_stop(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        self._stop.set()

    def stop_if_asked(self) -> None:
        """Raise Stopped between two pieces of work that need no checkpoint of their own."""
        if self.should_stop():
            raise Stopped

    def report(self, step: int, steps: int, values: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl; a number that is not finite becomes null. Without steps yet, 0 of 0."""
        if self._first_step is None and steps:
            self._first_step = step - 1 if step else 0
        seconds = time.monotonic() - self.started
        done = step - (self._first_step or 0)
        line = {
            "step": step,
            "steps": steps,
            "seconds": round(seconds, 2),
            "seconds_left": round(seconds / done * (steps - step), 1) if done > 0 else None,
            "values": {name: _finite(value) for name, value in values.items()},
        }
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write result.json atomically, with the seconds and the memory that the run took."""
        figures = {"seconds": round(time.monotonic() - self.started, 2), "peak_memory_mb": _peak_memory_mb()}
        _write_json(self.path / "result.json", {**result, **figures})

    def fail(self, code: str, message: str) -> None:
        _write_json(self.path / "error.json", {"code": code, "message": message})


def execute(stage: Callable[[RunDirectory], Mapping[str, Any]], path: Path) -> int:
    """Run one stage in `path` and return its exit code; every error becomes error.json here."""
    try:
        directory = RunDirectory(path)
    except BadConfig as error:
        log.error("%s", error)
        if path.is_dir():
            _write_json(path / "error.json", {"code": error_code(error), "message": str(error)})
        return FAILED
    for name in ("result.json", "error.json"):
        (path / name).unlink(missing_ok=True)
    _listen(directory)
    prepare_process(max(1, int(directory.config.get("threads") or 1)))
    torch.manual_seed(directory.seed)
    try:
        directory.finish(stage(directory))
    except Stopped:
        log.info("stopped on request; a second start resumes from the checkpoint")
        return STOPPED
    except Exception as error:
        log.exception("the stage failed")
        shutil.rmtree(directory.states, ignore_errors=True)
        directory.fail(error_code(error), str(error) or type(error).__name__)
        return FAILED
    for made in (directory.checkpoint, directory.states):
        shutil.rmtree(made, ignore_errors=True)
    return DONE


def _write_json(target: Path, value: Mapping[str, Any]) -> None:
    """Write `target` atomically; numbers that are not finite become null."""
    draft = target.with_name(f"{target.name}.tmp")
    with draft.open("w") as file:
        json.dump(_finite(value), file, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, target)


def error_code(error: BaseException) -> str:
    """NotFinite -> not_finite."""
    name = type(error).__name__
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


def _finite(value: Any) -> Any:
    """`value` as JSON: numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, bool | int | str | None):
        return value
    if isinstance(value, Path):
        return str(value)
    number = float(value)
    return number if math.isfinite(number) else None


def _peak_memory_mb() -> float:
    """Peak resident memory of this process; from /proc on Linux, since getrusage's peak survives an exec."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def _listen(directory: RunDirectory) -> None:
    def on_signal(number: int, frame: FrameType | None) -> None:
        directory.stop()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
    if sys.stdin is not None and not sys.stdin.closed and _is_pipe():
        threading.Thread(target=_watch_parent, args=(directory,), daemon=True).start()


def _is_pipe() -> bool:
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _watch_parent(directory: RunDirectory) -> None:
    """The pipe on stdin ends when the supervisor does, however it died."""
    while os.read(0, 4096):
        pass
    log.info("the parent is gone")
    directory.stop()
    time.sleep(GRACE_S)
    os._exit(STOPPED)
