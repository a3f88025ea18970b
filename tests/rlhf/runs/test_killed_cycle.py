"""A cycle that waits for people, killed with -9 at twenty moments drawn by chance, ends as an undisturbed one."""

import contextlib
import hashlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.short_cycle import SHORT, TASTES, TINY
from tests.site import ROOT, environment_of, run

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800)]
KILLS, COMPARISONS = 20, 4
GIVEN_UP = ("failed", "cancelled")
LEASE_S, PATIENCE_S = 2.0, 300.0
LONGER = {
    **SHORT,
    "policy": {**SHORT["policy"], "iterations": 24, "alarm_patience": 0},  # an alarm returns to where it began
    "reward_model": {**SHORT["reward_model"], "epochs": 8, "checkpoint_every": 2},
}
"""A cycle of some seconds more, in which there is something to be killed."""
START = f"""
from rlhf.runs import cycle
cycle.start(hyperparameters={LONGER!r}, seed=7, comparisons={COMPARISONS}, unqualified=True)
"""
WORKER = f"""
import time
from datetime import timedelta
from django.conf import settings
from rlhf import tasks
from rlhf.runs import leases
settings.RLHF_LEASE = timedelta(seconds={LEASE_S})
leases.NUDGE_AFTER = timedelta(seconds=0.5)
tasks.run_cycle.delay = tasks.run_cycle
print("ready", flush=True)
while True:
    tasks.reap_runs()
    time.sleep(0.1)
"""
"""What the site's scheduler and its worker do, in one process, with a lease that is soon over."""


@dataclass
class Home:
    """A site without a web process: its state, and a worker that can be killed."""

    path: Path
    environment: dict[str, str] = field(init=False)
    worker: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.environment = {**environment_of(self.path, "", **TINY), "CHAMSAE_MODEL": str(self.path / "tiny")}
        self.environment.pop("DATABASE_URL", None)

    def manage(self, *words: str) -> None:
        run(self.environment, *words)

    def shell(self, program: str) -> None:
        self.manage("shell", "--verbosity", "0", "-c", program)

    def start_worker(self) -> None:
        before = self.log().count("ready\n")
        command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", WORKER]
        with (self.path / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)

        self.until(lambda: self.log().count("ready\n") > before, "the worker did not begin")

    def log(self) -> str:
        path = self.path / "worker.log"
        return path.read_text() if path.exists() else ""

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        self.start_worker()
        try:
            yield
        finally:
            self.kill_worker()

    def kill_worker(self) -> None:
        assert self.worker is not None
        self.worker.kill()
        self.worker.wait()

    def ask(self, question: str) -> list[tuple[object, ...]]:
        address = f"file:{self.path / 'chamsae.sqlite3'}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=20)) as tables:
            return tables.execute(question).fetchall()

    def state(self) -> str:
        return str(self.ask("select state from rlhf_run where kind = 'cycle'")[0][0])

    def trainer(self) -> psutil.Process | None:
        """The training process that is at work, whoever watches it."""
        for (pid,) in self.ask("select pid from rlhf_run where pid is not null"):
            with contextlib.suppress(psutil.NoSuchProcess):
                found = psutil.Process(int(str(pid)))
                if str(self.path) in " ".join(found.cmdline()) and found.status() != psutil.STATUS_ZOMBIE:
                    return found
        return None

    def can_bear_a_kill(self) -> bool:
        """A run that was started three times without coming further waits for a person; that is another promise."""
        attempts = self.ask("select max(attempt) from rlhf_run where state in ('running', 'queued')")[0][0]
        return int(str(attempts or 0)) < 2

    def until(self, holds: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, f"{otherwise}\n{self.log()[-4000:]}"
            time.sleep(0.1)

    def until_it_is(self, state: str) -> None:
        self.until(lambda: self.state() == state, f"not {state}")

    def compare(self, count: int) -> None:
        self.manage("simulate_annotators", "--comparisons", str(count), *TASTES[:2], "--json")

    def weights(self, kind: str = "source like 'run:%'") -> str:
        ((directory,),) = self.ask(f"select directory from chat_policy where {kind}")  # noqa: S608  words of this file
        return hashlib.sha256((self.path / "models" / str(directory) / "model.safetensors").read_bytes()).hexdigest()

    def unanswered(self) -> int:
        return COMPARISONS - int(
            str(
                self.ask(
                    "select count(*) from feedback_blindpair p join feedback_ranking r on r.task_id = p.task_id"
                )[0][0]
            )
        )

    def decisions(self) -> int:
        return int(str(self.ask("select count(*) from rlhf_decision")[0][0]))


@pytest.fixture
def begun(tiny_policy: Path, tmp_path: Path) -> Path:
    """A home whose cycle is queued; nobody has worked on it."""
    home = Home(tmp_path / "begun")
    home.path.mkdir()
    shutil.copytree(tiny_policy, home.path / "tiny")
    home.manage("migrate", "--verbosity", "0")
    home.manage("seed_demo")
    home.manage("fetch_model")
    home.manage("simulate_annotators", "--rankings", "24", *TASTES)
    home.shell(START)
    return home.path


def undisturbed(begun: Path, path: Path) -> Home:
    home = Home(shutil.copytree(begun, path))
    with home.working():
        home.until_it_is("waiting")
        home.compare(COMPARISONS)
        home.until_it_is("succeeded")
    return home


def killed(begun: Path, path: Path, draw: random.Random) -> tuple[Home, list[tuple[str, str]]]:
    """The home at the end, and what was killed in which state of the cycle."""
    home, kills = Home(shutil.copytree(begun, path)), []
    with home.working():
        while (state := home.state()) not in GIVEN_UP and (len(kills) < KILLS or state != "succeeded"):
            if state == "waiting" and KILLS - len(kills) <= home.unanswered():
                home.compare(1)  # people answer between the last kills
            time.sleep(draw.uniform(0.0, 3.0))
            if len(kills) < KILLS and home.can_bear_a_kill():
                kills.append(kill_one(home, draw))
    return home, kills


def kill_one(home: Home, draw: random.Random) -> tuple[str, str]:
    """The worker, its training process, or both, and a new worker where there is none."""
    victim, state = draw.choice(("worker", "trainer", "both")), home.state()
    trainer = home.trainer()
    if victim != "worker" and trainer is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(trainer.pid, signal.SIGKILL)
    if victim != "trainer" or trainer is None:
        victim = "worker" if trainer is None else victim
        home.kill_worker()
        home.start_worker()
    return victim, state


def test_a_cycle_killed_twenty_times_ends_with_the_weights_of_one_that_nobody_killed(begun, tmp_path):
    seed = int(os.environ.get("CHAMSAE_KILL_SEED") or random.randrange(2**32))
    print(f"CHAMSAE_KILL_SEED={seed}")  # noqa: T201 - by which a failure can be had again
    home, kills = killed(begun, tmp_path / "killed", random.Random(seed))
    assert home.state() == "succeeded", home.log()[-4000:]
    assert sum(state in ("running", "queued") for _, state in kills) >= KILLS / 2, kills
    assert home.decisions() == 1
    home.manage("fsck")
    assert home.weights() != home.weights("base_id is null"), "nothing was learnt: all ends are alike"
    assert home.weights() == undisturbed(begun, tmp_path / "undisturbed").weights(), kills
