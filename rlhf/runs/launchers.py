"""The commands that start a training process: by itself, as several that share the work, or as a job of a cluster."""

import json
import subprocess
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from base.child_environment import RAY_TOKEN, child_environment
from rlhf.errors import LauncherBroken

LOCAL, ACCELERATE, RAY = "local", "accelerate", "ray"
READ_WITHIN_S = 60.0


@dataclass(frozen=True)
class LaunchPlan:
    """As how many processes a stage is started that several can share."""

    processes: int = 1
    shards_base: bool = False

    def __str__(self) -> str:
        way = "FSDP2" if self.shards_base else "DDP"
        return f"{self.processes} processes ({way})" if self.processes > 1 else "1 process"


@dataclass(frozen=True)
class Launcher:
    """A program that stands for a training: it keeps the lock, the log and the exit code of a run directory, ends
    with a checkpoint on SIGTERM or when its standard input does, and never leaves two trainings on one directory."""

    command: Callable[[str, Path], list[str]]
    """Of a stage and its directory, the last word: by it a process is found again that its supervisor left."""
    is_here: bool = True
    """Whether it computes on this machine, whose cores and memory it then needs."""
    secrets: Collection[str] = ()
    """Variables that it needs, which a training does not get."""


def _local(stage: str, directory: Path) -> list[str]:
    return [*settings.RLHF_TRAINER, stage, str(directory)]


def _accelerate(stage: str, directory: Path) -> list[str]:
    """As many processes as the file of accelerate's says, for the stages that several can share."""
    return [*accelerate_reader(), stage, str(directory)]


def accelerate_reader() -> list[str]:
    """Without a stage it says in JSON what the file asks for, and fails where that is not there."""
    return [sys.executable, "-m", "rlhf.training.launch", "--config", settings.RLHF_ACCELERATE_CONFIG]


def _ray(stage: str, directory: Path) -> list[str]:
    """As a job, which is several processes of its machine where there is a file of accelerate's."""
    if stage == FETCH:
        return _local(stage, directory)
    wanted = ["--cpus", str(elsewhere_threads()), "--gpus", str(settings.RLHF_RAY_GPUS)]
    started = [sys.executable, "-m", "rlhf.training.ray_job", "--address", settings.RLHF_RAY_ADDRESS, *wanted]
    command = _accelerate(stage, directory) if settings.RLHF_ACCELERATE_CONFIG else _local(stage, directory)
    return [*started, *command]


FETCH = "fetch"
"""The stage that computes nothing, and whose download people wait for."""
LAUNCHERS = {
    LOCAL: Launcher(_local),
    ACCELERATE: Launcher(_accelerate),
    RAY: Launcher(_ray, is_here=False, secrets=(RAY_TOKEN,)),
}
"""By the name in settings.RLHF_LAUNCHER."""


def chosen() -> Launcher:
    return LAUNCHERS[settings.RLHF_LAUNCHER]


def command(stage: str, directory: Path) -> list[str]:
    return chosen().command(stage, directory)


def elsewhere_threads() -> int:
    """Of a training on another machine, whose idle cores nobody here can count."""
    return int(settings.RLHF_THREADS or 1)


def launch() -> LaunchPlan:
    """What the settings ask for. Takes seconds once for each version of the file. Raises LauncherBroken."""
    if settings.RLHF_LAUNCHER == LOCAL or (settings.RLHF_LAUNCHER == RAY and not settings.RLHF_ACCELERATE_CONFIG):
        return LaunchPlan()
    if not settings.RLHF_ACCELERATE_CONFIG:
        raise LauncherBroken
    path = Path(settings.BASE_DIR) / settings.RLHF_ACCELERATE_CONFIG
    try:
        found = _read(path, path.stat().st_mtime_ns)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LauncherBroken(str(error)) from error
    if isinstance(found, str):
        raise LauncherBroken(found)
    return found


@lru_cache(maxsize=8)
def _read(path: Path, changed_at: int) -> LaunchPlan | str:
    """Or why it cannot be used, by a process, for accelerate imports torch."""
    asked = subprocess.run(
        accelerate_reader(),
        cwd=settings.BASE_DIR,
        env=child_environment({}),
        timeout=READ_WITHIN_S,
        capture_output=True,
        text=True,
        check=False,
    )
    *_, last = ["", *(asked.stdout.strip() or asked.stderr.strip()).splitlines()]
    return LaunchPlan(**json.loads(last)) if asked.returncode == 0 else last or f"exit code {asked.returncode}"
