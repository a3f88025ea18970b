"""A whole site as a child process on a throw-away state, for tests that come in by the front door."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from config import reaper
from config.secret import AUDIT_KEY_FILE

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "chamsae.sqlite3"
STOP_S = 60.0
"""A machine that runs several suites at once is granted time; the promise has a test of its own."""
NOT_HANDED_ON = (
    "DJANGO_SETTINGS_MODULE",
    "CHAMSAE_TEST_HOME",
    "PYTEST_XDIST_WORKER",
    "CHAMSAE_SITE",
    "CHAMSAE_ORIGINS",
)
SCRIPT = '{"slow_word": "slowly", "seconds_a_token": 0.08}'
SCRIPTED = f"""
from chat.models import Policy
if not Policy.objects.filter(is_live=True).exists():
    Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True, source='{SCRIPT}')
"""
"""Whoever wants to see a reply in the middle asks for it slowly; nobody waits for the others."""


@dataclass
class Site:
    home: Path
    port: int
    environment: dict[str, str]
    process: subprocess.Popen[str]
    signed_in: dict[str, list[Any]] = field(default_factory=dict)
    """Cookies of people who have signed in already, by their names."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def manage(self, *words: str, timeout_s: float = 120) -> str:
        """Runs a command on the site's state and returns what it printed on stdout."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def process_of(self, word: str) -> psutil.Process:
        """The site's process with this word in its command line."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            if word in " ".join(process.cmdline()):
                return process
        raise AssertionError(f"no process with {word}")

    def silent_talker(self) -> contextlib.AbstractContextManager[None]:
        """No reply goes on meanwhile: what a test does in it is never too late."""
        return self._suspended("run_talker")

    def silent_worker(self) -> contextlib.AbstractContextManager[None]:
        """No task begins meanwhile."""
        return self._suspended("celery")

    @contextlib.contextmanager
    def _suspended(self, word: str) -> Iterator[None]:
        process = self.process_of(word)
        self.suspend_between_writes(process)
        try:
            yield
        finally:
            process.resume()

    def suspend_between_writes(self, process: psutil.Process) -> None:
        """A process that stops within a transaction keeps its locks, and nobody else could write meanwhile."""
        url = self.environment.get("DATABASE_URL", "")
        if not url:  # who holds SQLite's one lock for writing knows that nobody else does
            database = sqlite3.connect(self.home / DATABASE, timeout=STOP_S, isolation_level=None)
            with contextlib.closing(database):
                database.execute("BEGIN IMMEDIATE")
                process.suspend()
                database.execute("ROLLBACK")
            return
        end = time.monotonic() + STOP_S
        process.suspend()
        while _is_within_a_transaction(url):
            process.resume()
            assert time.monotonic() < end, f"{process} was never between two writes"
            time.sleep(0.02)
            process.suspend()

    def logs(self) -> str:
        return "\n".join(
            f"== {path.name}\n{path.read_text()[-4000:]}" for path in sorted((self.home / "logs").glob("*.log"))
        )


def _is_within_a_transaction(url: str, since_s: float = 0.3) -> bool:
    """Whether somebody keeps a transaction of this PostgreSQL database open without asking anything for so long."""
    import psycopg

    idle = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND state LIKE 'idle in transaction%%' AND clock_timestamp() - state_change > make_interval(secs => %s)"
    )
    time.sleep(since_s)
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(idle, [since_s * 0.8]).fetchone()
    return bool(row and row[0])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def environment_of(home: Path, database_url: str, **settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in NOT_HANDED_ON}
    given = {"CHAMSAE_HOME": str(home), "CHAMSAE_DEBUG": "1", "OMP_NUM_THREADS": "1", "CHAMSAE_TASK_STOCK": "2"}
    given |= {"CHAMSAE_COMPLETION_TOKENS": "48", "CHAMSAE_FRAGMENTS": "1"}  # a tiny model seldom ends by itself
    given |= {"CHAMSAE_SYSTEM_PROMPT": "", "CHAMSAE_MAX_COMPLETION_TOKENS": "512"}
    given["CHAMSAE_READING_SPEED"] = "0"  # a program that judges in a browser is faster than anybody can read
    given["CHAMSAE_TRAIN_NICENESS"] = "0"  # a trainer beside other tests would hardly come on
    if database_url:
        given["DATABASE_URL"] = database_url
    return {**kept, "CHAMSAE_LOG_LEVEL": "INFO", **given, **settings}


@contextlib.contextmanager
def own_database() -> Iterator[str]:
    """Where the suite runs on PostgreSQL, a database of the site's own; else nothing, and SQLite under its home."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        yield ""
        return
    import psycopg

    name = f"chamsae_{uuid.uuid4().hex[:12]}"
    server = url.rsplit("/", 1)[0]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{server}/{name}"
        finally:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextlib.contextmanager
def running_site(
    home: Path,
    model: Path | None = None,
    *,
    program: str = SCRIPTED,
    patience_s: float = 90,
    kills_itself: bool = False,
    from_nothing: bool = False,
    **settings: str,
) -> Iterator[Site]:
    """A started site that answers; with a policy directory as its model, else with canned text on the rows that the
    program makes. It is stopped as a person stops it, and must leave nothing behind. `from_nothing`: the site makes
    its tables itself, as on the first start of its life."""
    with own_database() as database_url:
        port = free_port()
        environment = environment_of(home, database_url, **settings)
        if model is None:
            prepare(environment, program)
        else:
            environment["CHAMSAE_MODEL"] = str(model)
            if not from_nothing and shares_tables(environment):
                prepare(environment)
        command = [sys.executable, "manage.py", "run_site", "--port", str(port)]
        said = (home / "said.txt").open("w+")
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=said, stderr=subprocess.STDOUT, text=True
        )
        site = Site(home, port, environment, process)
        try:
            until_it_greets(site, home / "said.txt", patience_s)
            yield site
        finally:
            said.close()
            if not kills_itself or process.poll() is None:
                stop(site)


def stop(site: Site) -> None:
    """As a person stops it; it must end by itself, in order, and leave nothing behind."""
    holder = (site.home / "run_site.lock").read_text()
    site.process.send_signal(signal.SIGINT)
    try:
        code = site.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        site.process.kill()
        raise AssertionError(f"the site did not stop within {STOP_S} s\n" + site.logs()) from None
    assert code == 0, (site.home / "said.txt").read_text()
    assert reaper.marked(json.loads(holder)["marker"]) == []


def prepare(environment: dict[str, str], program: str = "") -> None:
    """The tables with what every site starts with, and what the program adds."""
    if not shares_tables(environment):
        run(environment, "migrate", "--verbosity", "0")
    elif program == SCRIPTED:
        return copy_tables(tables_of_the_suite(environment, "scripted"), environment)
    else:
        copy_tables(tables_of_the_suite(environment, "seeded"), environment)
    if program:
        run(environment, "shell", "--verbosity", "0", "-c", program)
    return None


def run(environment: dict[str, str], *words: str) -> None:
    command = [sys.executable, "manage.py", *words]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=180, stdout=subprocess.DEVNULL)


def shares_tables(environment: dict[str, str]) -> bool:
    """Migrations, the hashes of four passwords, the rules and the canned policy are half of what a start costs, and
    always the same: the suite's sites start from copies, except on a server."""
    return "CHAMSAE_TEST_HOME" in os.environ and "DATABASE_URL" not in environment


def copy_tables(source: Path, environment: dict[str, str]) -> None:
    """With the key by which their audit log is sealed."""
    key = source.parent / AUDIT_KEY_FILE
    if key.exists():
        shutil.copy2(key, Path(environment["CHAMSAE_HOME"]) / AUDIT_KEY_FILE)
    with (
        contextlib.closing(sqlite3.connect(source)) as tables,
        contextlib.closing(sqlite3.connect(Path(environment["CHAMSAE_HOME"]) / DATABASE)) as target,
    ):
        tables.backup(target)


def tables_of_the_suite(environment: dict[str, str], name: str) -> Path:
    """Made by the first of its processes that asks, under the directory that all of them share."""
    home = Path(os.environ["CHAMSAE_TEST_HOME"]) / "tables" / name
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = home / "ready"
        if not ready.exists():
            settings = {**environment, "CHAMSAE_HOME": str(home)}
            if name == "seeded":
                run(settings, "seed_demo")  # a command of ours makes the tables where there are none
            else:
                copy_tables(tables_of_the_suite(environment, "seeded"), settings)
                run(settings, "shell", "--verbosity", "0", "-c", SCRIPTED)
            ready.touch()
    return home / DATABASE


def until_it_greets(site: Site, said: Path, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while f"Chamsae is at {site.url}/" not in said.read_text():
        ended = site.process.poll()
        assert ended is None, f"run_site ended with code {ended}:\n{said.read_text()}"
        assert time.monotonic() < deadline, f"not ready in {patience_s} s:\n{said.read_text()}"
        time.sleep(0.2)
    assert httpx.get(f"{site.url}/healthz").status_code == 200
