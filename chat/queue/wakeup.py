"""Wakes who reads what talkers write as soon as it is committed, where the database can do that: PostgreSQL."""

import contextlib
from typing import Any

from django.db import Error, connection

CHANNEL = "chamsae_replies"
IS_POSSIBLE = connection.vendor == "postgresql"


def call(reply: int) -> None:
    """To be called in the transaction that changes the state of a reply: sleepers of all processes wake when it is
    committed, and know which. For new text there is a call without a reply (chat.queue.replies.STORE_ALL)."""
    if IS_POSSIBLE:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(reply)])


class Sleeper:
    """Of one thread, in its own connection. Where calls do not come through, as behind a pooler of transactions, it
    sleeps its time."""

    def __init__(self) -> None:
        self._hears: Any = None

    def sleep(self, seconds: float) -> set[int]:
        """Until a call, at once if one came since the last, or until so many seconds have passed; the replies that
        were named. Raises OperationalError where the database goes away meanwhile; the next sleep connects anew.
        """
        connection.ensure_connection()
        raw = connection.connection
        if self._hears is not raw:
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
            self._hears = raw
        with connection.wrap_database_errors:
            return {int(call.payload) for call in raw.notifies(timeout=seconds, stop_after=1) if call.payload}

    def leave(self) -> None:
        """Its connection goes back to the others deaf: nobody would take the calls from it."""
        if self._hears is not None and self._hears is connection.connection:
            with contextlib.suppress(Error), connection.cursor() as cursor:
                cursor.execute(f"UNLISTEN {CHANNEL}")
        self._hears = None
