"""The command line of each process of a site, by its role: web, talker, worker, scheduler."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from django.conf import settings

from chat.websocket.consumers import MAX_FRAME_BYTES

UVICORN, DAPHNE = "uvicorn", "daphne"
SERVERS = (UVICORN, DAPHNE)
LIGHT, TRAIN = "light", "train"
QUEUES = (LIGHT, TRAIN)
APPLICATION = "config.asgi:application"
GRACE_S = "1"  # for requests to end; sockets are closed at once, and their pages reconnect by themselves
HANDSHAKE_S = "30"  # after a restart every open page comes back at once, and waits for the database in turn
WORKERS = 4
"""Tasks at a time: a cycle occupies one for its whole time, a fine-tune another, stocking tasks a third."""


def web(host: str, port: int, server: str = UVICORN) -> list[str]:
    return {UVICORN: _uvicorn, DAPHNE: _daphne}[server](host, port)


def _uvicorn(host: str, port: int) -> list[str]:
    # h11 bounds the head of a request; deflate would cost more than the few bytes of a token are worth
    parts = ["--http", "h11", "--ws", "websockets-sansio", "--loop", "uvloop", "--lifespan", "off"]
    limits = ["--ws-max-size", str(MAX_FRAME_BYTES), "--ws-per-message-deflate", "false"]
    ends = ["--timeout-graceful-shutdown", GRACE_S]
    quiet = ["--log-level", "warning", "--no-access-log", "--no-server-header", "--no-proxy-headers"]
    where = ["--host", host, "--port", str(port)]
    return [sys.executable, "-m", "uvicorn", *parts, *limits, *ends, *quiet, *where, APPLICATION]


def _daphne(host: str, port: int) -> list[str]:
    size = str(MAX_FRAME_BYTES)  # its queue for a socket has no bound in frames, so each must be small
    limits = ["--websocket-max-message-size", size, "--websocket-max-frame-size", size]
    limits += ["--websocket_connect_timeout", HANDSHAKE_S, "--application-close-timeout", "10"]
    quiet = ["--verbosity", "0", "--no-server-name"]
    where = ["--bind", host, "--port", str(port)]
    return [sys.executable, "-m", "config.daphne_server", *limits, *quiet, *where, APPLICATION]


def talker() -> list[str]:
    return [sys.executable, "manage.py", "run_talker"]


def worker(
    name: str, *, queues: Sequence[str] = QUEUES, tasks_at_a_time: int = WORKERS, schedules: bool = False
) -> list[str]:
    alone = ["--without-gossip", "--without-mingle", "--hostname", f"{name}@%h"]
    quiet = ["-W", "ignore:You're running the worker"]  # as root: a danger with pickle, which is not accepted
    celery = [sys.executable, *quiet, "-m", "celery", "--quiet", "-A", "config", "worker"]
    what = ["--queues", ",".join(queues), "--concurrency", str(tasks_at_a_time), "--loglevel", "WARNING"]
    return [*celery, *what, *alone, *(["--beat"] if schedules else [])]


def scheduler() -> list[str]:
    """Without a file of its process id, which would keep a second one in the same folder from waiting its turn."""
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "config", "beat"]
    return [*celery, "--loglevel", "WARNING", "--pidfile", ""]


def become(argv: Sequence[str]) -> NoReturn:
    """The process of a command turns into that of its role, which thus hears the signals itself."""
    os.chdir(settings.BASE_DIR)  # where `config` is found
    os.execv(argv[0], list(argv))  # noqa: S606  no shell is wanted
