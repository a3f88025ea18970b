"""Checks what a site needs to run; each finding says what is wrong and which command fixes it."""

import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from accounts.demo import ACCOUNTS
from accounts.models import User
from base import shared_storage
from base.health import database
from chat import policies
from chat.engines import loading
from chat.errors import BadPolicy, NoLivePolicy, PolicyAway
from chat.models import EngineProcess, Policy
from config import confinement
from config.celery import app
from config.floors import Floor, floors
from config.services import Sentinels, is_sentinel
from config.translations import stale_catalogues
from rlhf.errors import LauncherBroken
from rlhf.lineage import adapter_root
from rlhf.runs import launchers
from rlhf.runs import rollout_servers as rollouts
from rlhf.training import ray_job

Level = Literal["ok", "note", "warning", "missing"]
GIB = 1024**3
WAL_RACE_FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
HEARTBEAT = timedelta(seconds=30)
PATIENCE_S = 5.0


@dataclass(frozen=True)
class Finding:
    name: str
    level: Level
    says: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def examine() -> Iterator[Finding]:
    for check in CHECKS:
        yield from check()


def python() -> Iterator[Finding]:
    is_new_enough = sys.version_info >= (3, 11)
    found = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "python", "ok" if is_new_enough else "missing", found, "" if is_new_enough else "install 3.11 or newer"
    )


def packages() -> Iterator[Finding]:
    groups: dict[str, tuple[Level, str]] = {
        "run": ("missing", 'pip install -e "."'),
        "train": ("missing", 'pip install -e ".[train]"'),
        "services": ("missing" if _uses_services() else "note", 'pip install -e ".[services]"'),
        "s3": ("missing" if _uses_s3() else "note", 'pip install -e ".[s3]"'),
        "dev": ("note", 'pip install -e ".[dev]"'),
    }
    for group, (level, fix) in groups.items():
        unmet = [floor for floor in floors(group) if not floor.is_met]
        if unmet:
            yield Finding(f"packages ({group})", level, ", ".join(map(_lacks, unmet)), f"{sys.executable} -m {fix}")
        else:
            yield Finding(f"packages ({group})", "ok", "all installed in a supported version")


def _lacks(floor: Floor) -> str:
    return f"{floor.name} {floor.installed or 'not installed'} (needs >= {floor.lowest})"


def _uses_services() -> bool:
    return bool(settings.REDIS_URL) or connection.vendor != "sqlite" or "filesystem" not in settings.CELERY_BROKER_URL


def _uses_s3() -> bool:
    return "s3" in settings.STORAGES.get(shared_storage.STORAGE, {}).get("BACKEND", "")


def _sqlite() -> Iterator[Finding]:
    if connection.vendor != "sqlite":
        return
    if has_wal_race(sqlite3.sqlite_version_info):
        says = f"{sqlite3.sqlite_version} has a rare race that can corrupt a WAL database under several writers"
        yield Finding("sqlite", "warning", says, "back up, or use PostgreSQL (DATABASE_URL) or SQLite >= 3.51.3")
    else:
        yield Finding("sqlite", "ok", sqlite3.sqlite_version)


def has_wal_race(version: tuple[int, ...]) -> bool:
    """The WAL reset race was fixed in 3.51.3 and in the releases 3.50.7 and 3.44.6 of older branches."""
    return not any(version >= fixed and (fixed[1] == 51 or version[1] == fixed[1]) for fixed in WAL_RACE_FIXED)


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(settings.HOME).free
    level: Level = "missing" if free < GIB else "warning" if free < 5 * GIB else "ok"
    fix = "" if level == "ok" else f"free some space, or move CHAMSAE_HOME (now {settings.HOME})"
    yield Finding("disk", level, f"{free / GIB:.1f} GiB free", fix)


def _tables() -> Iterator[Finding]:
    problem = database()
    yield Finding(
        "database", "missing" if problem else "ok", problem or connection.vendor, "manage.py migrate" * bool(problem)
    )


def _catalogues() -> Iterator[Finding]:
    stale = [path.parent.parent.name for path in stale_catalogues()]
    if stale:
        yield Finding("translations", "missing", f"not compiled: {', '.join(stale)}", "python -m config.translations")
    else:
        yield Finding("translations", "ok", "compiled")


def live_policy() -> Iterator[Finding]:
    try:
        policy = policies.live()
        if not policy.is_scripted:
            policies.verify(policies.fetched(policy))
    except NoLivePolicy:
        yield Finding("live policy", "missing", "there is no live policy yet", "manage.py fetch_model")
    except PolicyAway as error:
        yield Finding("live policy", "missing", str(error), "correct CHAMSAE_SHARED_STATE, or wait")
    except BadPolicy as error:
        yield Finding(
            "live policy", "missing", str(error), "manage.py rollback_policy, or manage.py fetch_model --again"
        )
    except DatabaseError:
        yield Finding("live policy", "missing", "the database has no tables yet", "manage.py migrate")
    else:
        yield Finding("live policy", "ok", f"{policy.name}, files match its manifest")
        yield _engine(policy)


def _engine(policy: Policy) -> Finding:
    try:
        return Finding("engine", "ok", loading.title_of(policy))
    except ImportError as error:
        return Finding("engine", "missing", str(error), "correct CHAMSAE_ENGINE")


def services() -> Iterator[Finding]:
    for name, url in (("redis", settings.REDIS_URL), ("broker", settings.CELERY_BROKER_URL)):
        if not url or url.startswith("filesystem"):
            yield Finding(name, "ok", "not used: the built-in one is enough for one machine")
            continue
        hosts = _hosts(url)
        named = ", ".join(f"{host}:{port}" for host, port in hosts)
        if any(_answers(host, port) for host, port in hosts):
            yield Finding(name, "ok", named)
        else:
            yield Finding(name, "missing", f"no answer at {named}", f"start it, or correct {VARIABLES[name]}")


VARIABLES = {"redis": "REDIS_URL", "broker": "CELERY_BROKER_URL"}
PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671}


def _hosts(url: str) -> list[tuple[str, int]]:
    """Without the rest of the URL, which may contain a password. One of several sentinels is enough."""
    found: list[tuple[str, int]] = []
    for part in url.split(";"):
        if is_sentinel(part):
            found += Sentinels.read(part).hosts
        else:
            parts = urlsplit(part)
            found.append((parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)))
    return found


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def launcher() -> Iterator[Finding]:
    """Of trainings that several processes share, or another machine has."""
    if settings.RLHF_LAUNCHER == "ray":
        yield _ray()
        if not settings.RLHF_ACCELERATE_CONFIG:
            return
    if settings.RLHF_LAUNCHER != "local":
        yield _accelerate()


def _ray() -> Finding:
    address = settings.RLHF_RAY_ADDRESS
    fix = "ray start --head, and the address of its dashboard as CHAMSAE_RAY_ADDRESS"
    try:
        answer = httpx.get(
            f"{address}/api/version", headers=ray_job.authorization(), timeout=PATIENCE_S, trust_env=False
        )
        version = str(answer.raise_for_status().json()["ray_version"])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        return Finding("launcher", "missing", f"no Ray answers at {address}: {error}", fix)
    return Finding("launcher", "ok", f"Ray {version} at {address}")


def _accelerate() -> Finding:
    if not settings.RLHF_ACCELERATE_CONFIG:
        says, fix = (
            "CHAMSAE_TRAINER=accelerate needs a file",
            "accelerate config, and its file as CHAMSAE_ACCELERATE_CONFIG",
        )
        return Finding("launcher", "missing", says, fix)
    try:
        return Finding("launcher", "ok", str(launchers.launch()))
    except LauncherBroken as error:
        return Finding("launcher", "missing", error.reason, "correct the file that CHAMSAE_ACCELERATE_CONFIG names")


def rollout_servers() -> Iterator[Finding]:
    """A cycle would find out only when it comes to the policy."""
    if not settings.RLHF_ROLLOUT_URLS:
        return
    try:
        live = policies.live()
        if live.is_scripted:
            return  # which nobody trains
        base = Path(adapter_root(live).directory).name
    except (NoLivePolicy, BadPolicy, DatabaseError):
        return  # which has its own finding
    troubles = rollouts.troubles(base)
    if troubles:
        says = "; ".join(f"{url} {trouble}" for url, trouble in troubles.items())
        yield Finding("rollout servers", "warning", says, "start them, or correct CHAMSAE_ROLLOUT_URL")
    else:
        yield Finding("rollout servers", "ok", f"{len(settings.RLHF_ROLLOUT_URLS)} answer and have {base}")


def _chromium() -> Iterator[Finding]:
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    fix = "" if found else "apt-get install chromium-headless-shell (only the browser tests need it)"
    yield Finding("chromium", "ok" if found else "note", found or "not installed: browser tests are skipped", fix)


def _heartbeats() -> Iterator[Finding]:
    try:
        ready = EngineProcess.objects.filter(state="ready", heartbeat_at__gte=timezone.now() - HEARTBEAT)
        is_talking = ready.exists()
    except DatabaseError:
        is_talking = False
    for name, is_up in (("talker", is_talking), ("worker", _worker_answers())):
        yield Finding(
            name, "ok" if is_up else "note", "running" if is_up else "not running", "" if is_up else "make run"
        )


def _worker_answers() -> bool:
    try:
        return bool(app.control.ping(timeout=1.0))
    except OSError:  # the broker is away, which has its own finding
        return False


def demo_accounts() -> Iterator[Finding]:
    if settings.DEMO:
        return
    try:
        users = list(User.objects.filter(username__in=[account.name for account in ACCOUNTS], is_active=True))
    except DatabaseError:
        return
    names = [user.username for user in users if user.check_password(settings.DEMO_PASSWORD)]
    if names:
        says = f"{', '.join(names)} still have the published password (refused unless CHAMSAE_DEBUG=1)"
        yield Finding("demo accounts", "warning", says, "manage.py changepassword NAME, or delete them in /admin/")


def confinements() -> Iterator[Finding]:
    """Trainers and engines get no secrets and run as the site's user; nothing else keeps them from its files."""
    version, has_bubblewrap = confinement.landlock_version(), confinement.has_bubblewrap()
    has = [f"Landlock {version}"] * bool(version) + ["bubblewrap"] * has_bubblewrap
    there = f"this machine has {' and '.join(has)}" if has else "this machine has neither Landlock nor bubblewrap"
    says = f"{there}; trainers and engines run with an allow-listed environment and can read the site's files"
    yield Finding("confinement", "note", says, "run them on another machine (CHAMSAE_TRAINER, CHAMSAE_ENGINE_URL)")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    python,
    packages,
    _sqlite,
    _disk,
    _tables,
    _catalogues,
    live_policy,
    services,
    launcher,
    rollout_servers,
    _chromium,
    _heartbeats,
    demo_accounts,
    confinements,
)
