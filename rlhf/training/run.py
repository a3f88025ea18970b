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
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from rlhf.training import processes
from rlhf.training.model import choice
from rlhf.training.model.choice import Placement
from rlhf.training.model.decoder import Decoder
from rlhf.training.process import prepare_process

DONE, FAILED, STOPPED = 0, 1, 75
"""Exit codes; 75 is EX_TEMPFAIL: start again and it resumes from its checkpoint."""
COMPUTED_BY = "computed_by.json"
"""What a run that was stopped goes on with."""
CAN_GO_ON = "computed_otherwise"
"""The code of an error that another setting mends."""
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


@dataclass
class ComputedOtherwise(Exception):
    """What is there to go on from was computed with another setting than the one that is in force now."""

    setting: str
    before: object
    now: object
    cure: str = ""
    """The variable of the environment with which it goes on; by default the setting's own."""

    def __str__(self) -> str:
        cure = self.cure or f"CHAMSAE_TRAINING_{self.setting.upper()}={self.before}"
        return (
            f"this run began with {self.setting} {self.before} and can't go on with {self.now}: set {cure} and "
            "resume it, or start a new run"
        )


class RunDirectory:
    """The interface between a stage and the site: files in one directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started = time.monotonic()
        self._stop = threading.Event()
        self._first_step: int | None = None
        self._computed_by: dict[str, str] = {}
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
    def placement(self) -> Placement:
        """How and where its models are computed. Raises BadHyperparameter."""
        return Placement.read(self.config)

    def load_base(self, base: Path, *, adapted_layers: int) -> Decoder:
        """By the backend that fits the model and the machine, which the result then names. Raises
        ComputedOtherwise."""
        placement = self.keep_to(base, self.placement)
        found = choice.load(base, adapted_layers=adapted_layers, placement=placement)
        self.note_computed_by(found)
        return found

    def keep_to(self, base: Path, placement: Placement) -> Placement:
        """A run goes on with what it began with, for adapters in checkpoints are laid out as their backend has them:
        `placement`, with that backend where it leaves the choice. Raises ComputedOtherwise."""
        before = self._began_with()
        if before and processes.shards_base():
            _refuse_divided(before)
        if before and placement.backend == choice.AUTO:
            placement = replace(placement, backend=before["backend"])
        now = {"backend": choice.choose(base, placement), "dtype": placement.dtype, "bits": placement.bits}
        for setting, value in before.items():
            if value != now[setting]:
                raise ComputedOtherwise(setting, value, now[setting])
        _write_json(self.path / COMPUTED_BY, now)
        return placement

    def _began_with(self) -> dict[str, Any]:
        """By setting; empty where there is nothing to go on from."""
        note = self.path / COMPUTED_BY
        if not note.exists() or not (self.checkpoint.exists() or self.states.exists()):
            return {}
        found: dict[str, Any] = json.loads(note.read_text())
        return found

    def note_computed_by(self, base: Decoder) -> None:
        """For the result."""
        self._computed_by = choice.facts(base)

    @property
    def served(self) -> str:
        """The type of the GGUF file of a policy that is published here."""
        return str(self.config.get("served") or "q8_0")

    @property
    def thinks(self) -> bool:
        """Whether chat templates that can switch reasoning off leave it on, as they do for people here."""
        return self.config.get("thinking") == "on"

    def should_stop(self) -> bool:
        """Whether any of the run's processes was asked to stop; all of them ask at the same points."""
        return processes.any_of(self._stop.is_set())

    def stop(self) -> None:
        self._stop.set()

    def stop_if_asked(self) -> None:
        """Raise Stopped between two pieces of work that need no checkpoint of their own."""
        if self.should_stop():
            raise Stopped

    def report(self, step: int, steps: int, values: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl; a number that is not finite becomes null. Without steps yet, 0 of 0.
        Of several processes the main one's."""
        if not processes.is_main():
            return
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
        """Write result.json atomically, with what computed it, the profile of its defaults, and the seconds and the
        memory that it took."""
        figures = {"seconds": round(time.monotonic() - self.started, 2), "peak_memory_mb": _peak_memory_mb()}
        if not processes.is_main():
            return
        profile = {"profile": self.config["profile"]} if "profile" in self.config else {}
        made = {**result, **self._computed_by, **profile, **processes.facts(), **figures}
        _write_json(self.path / "result.json", made)

    def remove_ends(self) -> None:
        """What an earlier start left: its result or its error."""
        for name in ("result.json", "error.json"):
            (self.path / name).unlink(missing_ok=True)

    def fail(self, code: str, message: str) -> None:
        """Write error.json, unless another process was first: the others fail because that one is gone."""
        if not (self.path / "error.json").exists():
            _write_json(self.path / "error.json", {"code": code, "message": message})

    def can_go_on(self) -> bool:
        """Of a run that failed: whether only a setting kept it from going on with its checkpoint and states."""
        error = self.path / "error.json"
        return error.exists() and bool(json.loads(error.read_text())["code"] == CAN_GO_ON)


def _refuse_divided(before: Mapping[str, Any]) -> None:
    """Raises ComputedOtherwise for what FSDP does not divide."""
    whole = {"backend": choice.LIBRARY, "bits": 16}
    for setting, value in whole.items():
        if before[setting] != value:
            raise ComputedOtherwise(setting, before[setting], "FSDP", cure="CHAMSAE_TRAINER=local")


def execute(stage: Callable[[RunDirectory], Mapping[str, Any]], path: Path) -> int:
    """Run one stage in `path` and return its exit code; every error becomes error.json here."""
    try:
        directory = RunDirectory(path)
    except BadConfig as error:
        log.error("%s", error)
        if path.is_dir():
            _write_json(path / "error.json", {"code": error_code(error), "message": str(error)})
        return FAILED
    _listen(directory)
    if processes.expected() == 1:  # else the launcher did, before one of them could fail
        directory.remove_ends()
    prepare_process(_threads(directory))
    torch.manual_seed(directory.seed)
    try:
        processes.join(directory.placement.real_device)
        is_done = _comes_to_its_end(stage, directory)
        processes.leave()
    except ComputedOtherwise as error:  # once the setting is as it was, what is there is gone on with
        log.error("%s", error)
        directory.fail(error_code(error), str(error))
        return FAILED
    except Exception as error:
        log.exception("the stage failed")
        if processes.expected() == 1:  # of several the launcher knows whether they failed or lost one that was killed
            shutil.rmtree(directory.states, ignore_errors=True)
        directory.fail(error_code(error), str(error) or type(error).__name__)
        return FAILED
    return DONE if is_done else STOPPED


def _comes_to_its_end(stage: Callable[[RunDirectory], Mapping[str, Any]], directory: RunDirectory) -> bool:
    """Whether it did, instead of being stopped; what is then there is whole, whichever process wrote it."""
    try:
        result = stage(directory)
    except Stopped:
        log.info("stopped on request; a second start resumes from the checkpoint")
        processes.wait_for_all()
        return False
    processes.wait_for_all()
    directory.finish(result)
    for made in (directory.checkpoint, directory.states) if processes.is_main() else ():
        shutil.rmtree(made, ignore_errors=True)
    return True


def _threads(directory: RunDirectory) -> int:
    """Of this process, among which the run's are divided."""
    return max(1, int(directory.config.get("threads") or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _write_json(target: Path, value: Mapping[str, Any]) -> None:
    """Write `target` atomically; numbers that are not finite become null."""
    draft = target.with_name(f"{target.name}.{os.getpid()}.tmp")
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
