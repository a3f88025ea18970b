"""Wakes who waits for rows as soon as a write is committed, by PostgreSQL's LISTEN and NOTIFY or SQLite's counter."""

import contextlib
import time
from typing import Any, Protocol

from django.conf import settings
from django.db import Error, connection

CHANNEL = "chamsae_replies"
IS_POSSIBLE = connection.vendor == "postgresql" and settings.DATABASE_POOLER == "session"
"""Whether writers name the replies that have changed: to be told, one has to keep a connection."""
SEES_EVERY_COMMIT = connection.vendor == "sqlite"
GLANCE_EVERY_S = 0.02


def call(reply: int) -> None:
    """To be called in the transaction that changes the state of a reply: sleepers in all processes wake when it is
    committed, and learn which reply. New text is announced without a reply (chat.queue.replies.STORE_ALL)."""
    if IS_POSSIBLE:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(reply)])


class Sleeper(Protocol):
    """Sleeps in the thread's own connection until others have written."""

    def sleep(self, seconds: float) -> set[int]:
        """At most for so many seconds; returns at once if somebody wrote since the last sleep. Returns the replies
        that were named. Raises OperationalError if the database goes away; the next sleep reconnects."""
        ...

    def leave(self) -> None:
        """To be called before the connection is given up."""
        ...


def sleeper() -> Sleeper:
    if IS_POSSIBLE:
        return NotifiedSleeper()
    return CountingSleeper() if SEES_EVERY_COMMIT else PlainSleeper()


class PlainSleeper:
    """Where nobody can be told, as behind a pooler of transactions: sleeps for the whole time."""

    def sleep(self, seconds: float) -> set[int]:
        time.sleep(seconds)
        return set()

    def leave(self) -> None:
        """Nothing was begun."""


class CountingSleeper:
    """Glances at the counter of commits that SQLite keeps, a hundredth of what it costs to look at the tables."""

    def __init__(self) -> None:
        self._seen: tuple[Any, int] | None = None

    def sleep(self, seconds: float) -> set[int]:
        until = time.monotonic() + seconds
        while (now := _commits()) == self._seen and (left := until - time.monotonic()) > 0:
            time.sleep(min(GLANCE_EVERY_S, left))
        self._seen = now
        return set()

    def leave(self) -> None:
        self._seen = None


def _commits() -> tuple[Any, int]:
    """The connection, and a number that differs after each commit of any other connection."""
    connection.ensure_connection()
    raw = connection.connection
    with connection.wrap_database_errors:
        return raw, raw.execute("PRAGMA data_version").fetchone()[0]


class NotifiedSleeper:
    """Listens on the thread's own connection."""

    def __init__(self) -> None:
        self._listening: Any = None

    def sleep(self, seconds: float) -> set[int]:
        connection.ensure_connection()
        raw = connection.connection
        if self._listening is not raw:
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
            self._listening = raw
        with connection.wrap_database_errors:
            return {int(call.payload) for call in raw.notifies(timeout=seconds, stop_after=1) if call.payload}

    def leave(self) -> None:
        """Stops listening, since nobody would read the notifications of the connection any more."""
        if self._listening is not None and self._listening is connection.connection:
            with contextlib.suppress(Error), connection.cursor() as cursor:
                cursor.execute(f"UNLISTEN {CHANNEL}")
        self._listening = None
