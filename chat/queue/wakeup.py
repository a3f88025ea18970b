"""Wakes readers of replies as soon as a talker's write is committed, by PostgreSQL's LISTEN and NOTIFY."""

import contextlib
from typing import Any

from django.db import Error, connection

CHANNEL = "chamsae_replies"
IS_POSSIBLE = connection.vendor == "postgresql"


def call(reply: int) -> None:
    """To be called in the transaction that changes the state of a reply: sleepers in all processes wake when it is
    committed, and learn which reply. New text is announced without a reply (chat.queue.replies.STORE_ALL)."""
    if IS_POSSIBLE:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(reply)])


class Sleeper:
    """Sleeps until a wake-up, in the thread's own connection. Where notifications do not arrive, as behind a
    transaction pooler, it sleeps for the given time."""

    def __init__(self) -> None:
        self._listening: Any = None

    def sleep(self, seconds: float) -> set[int]:
        """Until a notification, or for so many seconds; returns at once if one came since the last sleep. Returns the
        replies that were named. Raises OperationalError if the database goes away; the next sleep reconnects.
        """
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
