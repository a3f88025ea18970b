"""Two hosts on one machine, each with its own home, web server, talker, worker and scheduler, whose processes can be
killed: they share PostgreSQL, Redis, RabbitMQ and a state in a folder."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.site import ROOT, free_port

RESTARTS_AFTER_S = 1.0
ROLES = ("web", "talker", "worker")


class Role:
    """A process that is started again when it ends, as a service manager does."""

    def __init__(self, words: list[str], environment: dict[str, str], log: Path) -> None:
        self.words, self.environment, self.log = words, environment, log
        self.starts = 0
        self._wanted = True
        self._lock = threading.Lock()
        self._start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", *self.words],
                cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.starts += 1

    def _keep(self) -> None:
        while self._wanted:
            self.process.wait()
            time.sleep(RESTARTS_AFTER_S)
            with self._lock:
                if self._wanted:
                    self._start()

    def kill(self) -> None:
        """By the system, without a word to it; what it started itself goes on or ends by its own rules."""
        self.process.kill()

    def stop(self) -> None:
        with self._lock:
            self._wanted = False
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
            return
        self.process.kill()


class Host:
    def __init__(self, home: Path, shared: dict[str, str]) -> None:
        home.mkdir()
        self.home, self.port = home, free_port()
        self.environment = {**shared, "CHAMSAE_HOME": str(home)}
        self.roles: dict[str, Role] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def manage(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def problems(self) -> list[dict[str, str]]:
        """What `fsck` finds, which is then its exit code, too."""
        command = [sys.executable, "manage.py", "fsck", "--json"]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=600, check=False
        )
        return list(json.loads(done.stdout)["problems"])

    def shell(self, program: str) -> str:
        """What the program printed."""
        return self.manage("shell", "--verbosity", "0", "-c", program).strip()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        words = {
            "web": ["run_web", "--port", str(self.port)],
            "talker": ["run_talker"],
            "worker": ["run_worker", "--tasks-at-a-time", "3"],
            "beat": ["run_beat"],
        }
        try:
            for role, line in words.items():
                self.roles[role] = Role(line, self.environment, self.home / f"{role}.txt")
            yield
        finally:
            for role in reversed(self.roles.values()):
                role.stop()


def suite_environment() -> dict[str, str]:
    """The addresses of the three services; KeyError names the one that is missing."""
    return {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")}
