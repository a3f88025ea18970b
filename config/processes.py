"""Supervises the processes of a site: starts them, restarts them with back-off, and ends them together."""

import ctypes
import fcntl
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from config import reaper

BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_S = 60.0
"""After a child has run this long, the back-off begins anew."""
TICK_S = 0.25
FIRST_SHARE = 0.4
"""The share of the time for stopping that our own children have before their children are signalled, too."""
LOG_BYTES = 5_000_000
LINE_WIDTH = 160
PR_SET_PDEATHSIG = 1
ROOT = Path(__file__).resolve().parent.parent


class PortInUse(Exception):
    code = "port_in_use"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} of {host} is in use: stop the program that uses it, or choose another port with --port"
        )
        self.host, self.port = host, port


class SiteRunning(Exception):
    code = "site_running"

    def __init__(self, home: Path, pid: int, port: int) -> None:
        super().__init__(
            f"a site already runs on {home} (process {pid}, port {port}): "
            "stop it, or set CHAMSAE_HOME to another directory"
        )
        self.home, self.pid, self.port = home, pid, port


def claim_port(host: str, port: int) -> None:
    """Raises PortInUse where nobody else could listen either."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise PortInUse(host, port) from None


@contextmanager
def only_site_of(home: Path, port: int) -> Iterator[str]:
    """Locks the home for one site and yields its marker. Ends processes that a killed site left running."""
    with (home / "run_site.lock").open("a+") as lock:
        lock.seek(0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_holder(lock.read())
            raise SiteRunning(home, int(holder.get("pid", 0)), int(holder.get("port", 0))) from None
        former = str(_read_holder(lock.read()).get("marker", ""))
        if former:
            reaper.end(former)
        marker = uuid.uuid4().hex
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), "port": port, "marker": marker}))
        lock.flush()
        yield marker
        lock.truncate(0)  # the lock itself goes with the file's closing, or with the process


def _read_holder(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError:  # empty, or caught while its owner writes it
        return {}


def end_with_parent() -> None:
    """Runs in the child before exec: Linux signals it when the supervisor dies, even by kill -9."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Child:
    """One process of the site, and how often it has died."""

    name: str
    argv: list[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    started_at: float = 0.0
    start_at: float = 0.0
    """When to start it again, on the monotonic clock."""
    rest: bytes = field(default=b"", repr=False)
    """Output after the last whole line."""
    is_silent: bool = False
    """It closed its output."""

    def start(self) -> int:
        """Starts the process in a session of its own; returns the descriptor of its output."""
        self.process = subprocess.Popen(
            self.argv,
            cwd=ROOT,
            env=dict(self.environment),
            stdin=subprocess.PIPE,  # never written to: its end tells the child that the supervisor is gone
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent,  # safe: this process has no threads
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.started_at, self.is_silent, self.rest = time.monotonic(), False, b""
        return self.process.stdout.fileno()

    def lines(self, output: int) -> Iterator[str]:
        """The whole lines that it has written since the last call."""
        while True:
            try:
                data = os.read(output, 65_536)
            except BlockingIOError:
                return
            if not data:
                self.is_silent = True
                return
            *lines, self.rest = (self.rest + data).split(b"\n")
            yield from (line.decode(errors="replace").rstrip() for line in lines)

    def note_death(self, code: int) -> float:
        """Counts a death and returns the seconds until the next start."""
        if time.monotonic() - self.started_at > STEADY_S:
            self.deaths = 0
        wait_s = BACKOFF_S[min(self.deaths, len(BACKOFF_S) - 1)]
        self.deaths += 1
        self.start_at = time.monotonic() + wait_s
        return wait_s


class Processes:
    """All children of a site, in one thread: their output, their deaths, their end."""

    def __init__(self, marker: str, logs: Path, say: Callable[[str, str], None]) -> None:
        self.marker, self.logs, self.say = marker, logs, say
        self.children: list[Child] = []
        self.selector = selectors.DefaultSelector()
        self.writers: dict[str, logging.Handler] = {}
        self.reaper = subprocess.Popen(
            [sys.executable, "-P", str(Path(reaper.__file__)), marker], stdin=subprocess.PIPE, start_new_session=True
        )

    def add(self, name: str, argv: list[str], environment: Mapping[str, str]) -> Child:
        child = Child(name, argv, {**environment, reaper.MARKER: self.marker, "PYTHONUNBUFFERED": "1"})
        writer = RotatingFileHandler(self.logs / f"{name}.log", maxBytes=LOG_BYTES, backupCount=3)
        writer.setFormatter(logging.Formatter("%(message)s"))
        self.writers[name] = writer
        self.children.append(child)
        self._start(child)
        return child

    def tick(self) -> None:
        """Waits for output up to a quarter second, then restarts what is due."""
        for key, _ in self.selector.select(TICK_S):
            self._copy_output(key.data, key.fd)
        now = time.monotonic()
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                self._handle_death(child)
            elif child.process is None and now >= child.start_at:
                self._start(child)

    def end(self, grace_s: float = reaper.GRACE_S) -> None:
        """Ends all within about `grace_s`: first our children, which end their own, then whatever is left."""
        deadline = time.monotonic() + grace_s * FIRST_SHARE
        for child in self.children:
            if child.process is not None:
                child.process.terminate()
        while time.monotonic() < deadline and any(c.process and c.process.poll() is None for c in self.children):
            for key, _ in self.selector.select(0.1):
                self._copy_output(key.data, key.fd)
        reaper.end(self.marker, grace_s * (1 - FIRST_SHARE))
        for child in self.children:
            if child.process is not None:
                child.process.wait()
                self._drain_and_close(child)
        assert self.reaper.stdin is not None
        self.reaper.stdin.close()
        self.reaper.wait()
        self.selector.close()
        for writer in self.writers.values():
            writer.close()

    def _start(self, child: Child) -> None:
        self.selector.register(child.start(), selectors.EVENT_READ, child)

    def _handle_death(self, child: Child) -> None:
        assert child.process is not None
        code = child.process.returncode
        self._drain_and_close(child)
        wait_s = child.note_death(code)
        log = self.logs / f"{child.name}.log"
        self.say(child.name, f"exited with code {code}; restarting in {wait_s:g} s (log: {log})")

    def _drain_and_close(self, child: Child) -> None:
        assert child.process is not None
        assert child.process.stdout is not None
        assert child.process.stdin is not None
        self._copy_output(child, child.process.stdout.fileno())
        if not child.is_silent:  # a grandchild may still hold the other end
            self.selector.unregister(child.process.stdout.fileno())
        child.process.stdout.close()
        child.process.stdin.close()
        child.process = None

    def _copy_output(self, child: Child, output: int) -> None:
        if child.is_silent:
            return
        for line in child.lines(output):
            self.writers[child.name].emit(logging.LogRecord(child.name, logging.INFO, "", 0, line, None, None))
            if line:
                self.say(child.name, line[:LINE_WIDTH])
        if child.is_silent:
            self.selector.unregister(output)
