"""`python -m rlhf.training.launch --config FILE STAGE RUN_DIR`: a stage by as many processes as FILE says.

FILE is one of accelerate's. The processes belong to the session of this one and inherit its pipe and its locks, so
that to signal, to watch or to lock it is to do so with all of them. accelerate's own launcher starts them in sessions
of their own, and several on CPUs by MPI alone. Without a stage it says in JSON what the file asks for.
"""

import argparse
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from rlhf.training.processes import CPU, LAUNCHER, SHARDING
from rlhf.training.ray_job import NAME as RAY
from rlhf.training.run import DONE, FAILED, STOPPED, BadConfig, RunDirectory, error_code

STAGES: dict[str, tuple[str, Sequence[str]]] = {
    "reward_model": ("", ()),
    "judge": ("", ()),
    "policy": ("algorithm", ("ppo", "sft", "dpo")),
    "fine_tune": ("method", ("supervised", "dpo")),
}
"""Stages that several processes can share, with the key and its values for which they can; the others get one."""
NAME = "accelerate"
ALONE, SHARDED, ON_CPUS = "NO", "FSDP", "MULTI_CPU"
SEVERAL = (ON_CPUS, "MULTI_GPU", "MULTI_NPU", "MULTI_XPU", "MULTI_MLU", "MULTI_MUSA")
"""What accelerate calls the ways to share that there are here."""
POLL_S = 0.1
GRACE_S = 10.0
"""For the others, once one process has ended before its time."""

log = logging.getLogger(__name__)


@dataclass
class BadLaunch(Exception):
    """The file of accelerate's settings cannot be read, or asks for what is not there."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class Launch:
    """What is used of accelerate's settings."""

    processes: int
    shards_base: bool
    use_cpu: bool
    gpus: str  # numbers with commas; all where there are none

    @classmethod
    def read(cls, path: Path) -> "Launch":
        """From a file as `accelerate config` writes it. Raises BadLaunch."""
        from accelerate.commands.config.config_args import load_config_from_file

        try:
            found = load_config_from_file(str(path))
            sharding: Mapping[str, Any] = getattr(found, "fsdp_config", None) or {}
            version = int(sharding.get("fsdp_version", 1))
            machines, count = int(found.num_machines), int(found.num_processes)
        except Exception as error:  # whatever a file that is not one of accelerate's makes of it
            raise BadLaunch(path, f"it cannot be read as a configuration of accelerate ({error})") from error
        way = str(getattr(found.distributed_type, "value", found.distributed_type))
        _require(way in (ALONE, SHARDED, *SEVERAL), path, f"{way} is not there; MULTI_CPU, MULTI_GPU and FSDP are")
        _require(way != SHARDED or version == 2, path, "of FSDP only version 2 is there (fsdp_version: 2)")
        _require(machines == 1, path, "all processes must be on one machine (num_machines: 1)")
        _require(count >= 1, path, "num_processes must be at least 1")
        gpus = str(found.gpu_ids or "all")
        return cls(
            1 if way == ALONE else count,
            way == SHARDED,
            bool(found.use_cpu) or way == ON_CPUS,
            "" if gpus == "all" else gpus,
        )

    def environment(self) -> dict[str, str]:
        """For all of its processes. In a Ray job the cluster has said which GPUs they see."""
        is_job = os.environ.get(LAUNCHER) == RAY
        made = {SHARDING: str(self.shards_base).lower(), CPU: str(self.use_cpu).lower(), LAUNCHER: NAME}
        return made | ({"CUDA_VISIBLE_DEVICES": self.gpus} if self.gpus and not is_job else {})


def _require(holds: bool, path: Path, reason: str) -> None:
    if not holds:
        raise BadLaunch(path, reason)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rlhf.training.launch", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="as `accelerate config` writes it")
    parser.add_argument("stage", nargs="?")
    parser.add_argument("run_dir", type=Path, nargs="?")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if given.stage is None:
        return _say(given.config)
    try:
        directory = RunDirectory(given.run_dir)
    except BadConfig as error:
        log.error("%s", error)
        return FAILED
    try:
        launch = Launch.read(given.config)
    except BadLaunch as error:
        log.error("%s", error)
        directory.fail(error_code(error), str(error))
        return FAILED
    command = [sys.executable, "-m", "rlhf.training", given.stage, str(given.run_dir)]
    if launch.processes == 1 or not is_shared(given.stage, directory.config):
        os.execve(command[0], command, {**os.environ, **launch.environment()})  # noqa: S606  no shell is wanted
    return SharedStage(command, launch, directory).wait()


def _say(path: Path) -> int:
    try:
        found = Launch.read(path)
        told = {"processes": found.processes, "shards_base": found.shards_base and found.processes > 1}
        sys.stdout.write(f"{json.dumps(told)}\n")
    except BadLaunch as error:
        sys.stdout.write(f"{error}\n")
        return FAILED
    return DONE


def is_shared(stage: str, config: Mapping[str, Any]) -> bool:
    """Whether several processes can do it."""
    if stage not in STAGES:
        return False
    key, values = STAGES[stage]
    return not key or config.get(key) in values


class SharedStage:
    """The processes of one stage, started together and ended together."""

    def __init__(self, command: Sequence[str], launch: Launch, directory: RunDirectory) -> None:
        self.directory = directory
        directory.remove_ends()
        self._store, port = _meeting_point()
        common = {**os.environ, **launch.environment(), **_meeting_at(port, launch.processes)}
        self.started = [
            subprocess.Popen(command, env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}, close_fds=False)
            for rank in range(launch.processes)
        ]
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)

    def wait(self) -> int:
        """The exit code, when all have ended; a signal that killed one of them ends this process, too."""
        while self._is_at_work():
            time.sleep(POLL_S)
        rank, code = self._first_failure()
        if code:
            log.error("process %d of %d ended with %d, and so do the others", rank + 1, len(self.started), code)
            self._end()
        if code == FAILED and not self.directory.can_go_on():
            shutil.rmtree(self.directory.states, ignore_errors=True)
        if code < 0:  # the others have only seen that it was gone
            (self.directory.path / "error.json").unlink(missing_ok=True)
            if -code != signal.SIGKILL:
                signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        return code

    def _is_at_work(self) -> bool:
        """Whether some run and none has failed. Those that stop do so together, however long one of them writes."""
        codes = self._codes()
        return None in codes and not set(codes) - {None, DONE, STOPPED}

    def _codes(self) -> list[int | None]:
        return [one.poll() for one in self.started]

    def _first_failure(self) -> tuple[int, int]:
        """(rank, exit code); where several have failed by now, one that was killed, and a failure before a stop."""
        failed = [(rank, code) for rank, code in enumerate(self._codes()) if code]
        return min(failed, key=lambda one: (one[1] >= 0, one[1]), default=(0, DONE))

    def _end(self) -> None:
        self._pass_on(signal.SIGTERM, None)
        until = time.monotonic() + GRACE_S
        for one in self.started:
            try:
                one.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        for one in self.started:
            if one.poll() is None:
                one.send_signal(number)


def _meeting_point() -> tuple[TCPStore, int]:
    """Where the processes find each other: a port that is free, on this machine alone."""
    server = socket.create_server(("127.0.0.1", 0))
    port = int(server.getsockname()[1])
    return TCPStore("127.0.0.1", port, None, True, wait_for_workers=False, master_listen_fd=server.detach()), port


def _meeting_at(port: int, processes: int) -> dict[str, str]:
    """Variables of the environment by which torch finds it; what the processes then say stays on the machine, too.

    RTX 4000 cards under old drivers cannot talk directly, and accelerate refuses them unless they are told not to.
    """
    from accelerate.utils import check_cuda_p2p_ib_support

    here = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    slow = {} if check_cuda_p2p_ib_support() else {"NCCL_P2P_DISABLE": "1", "NCCL_IB_DISABLE": "1"}
    return {
        **{name: os.environ.get(name, value) for name, value in (here | slow).items()},
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
    }


if __name__ == "__main__":
    sys.exit(main())
