"""Celery's filesystem broker with atomic writes: nobody reads half a message or half a table of queues.

kombu's own writes both in place, where a quick worker, or a site and its worker that start together, may read them
too early.
"""

import fcntl
import os
import uuid
from json import JSONDecodeError
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.json import dumps

DRAFT = ".draft"
"""Workers ignore files with this suffix."""


class Channel(filesystem.Channel):
    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]  # its bases disagree
        name = f"{round(monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        target = Path(self.data_folder_out) / name
        draft = target.with_name(name + DRAFT)
        try:
            draft.write_bytes(dumps(payload).encode())
            os.replace(draft, target)
        except OSError as error:
            raise ChannelError(f"Cannot add file {str(target)!r} to directory") from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # called with the queue alone
        try:
            return super()._get(queue)
        except JSONDecodeError:  # half a message, after a power failure; the database knows what is to be done
            raise Empty from None

    def get_table(self, exchange: str) -> list[Any]:
        """Of the queues that are bound to an exchange; none where a power failure left half a table."""
        try:
            return list(super().get_table(exchange))
        except JSONDecodeError:
            return []

    def _queue_bind(self, exchange: str, routing_key: str | None, pattern: str | None, queue: str | None) -> None:
        target = Path(self._exchange_file(exchange))  # type: ignore[attr-defined]  # younger than the stubs
        target.parent.mkdir(exist_ok=True)
        bound = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        try:
            with target.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
                table = self.get_table(exchange)
                if bound not in table:
                    draft = target.with_name(target.name + DRAFT)
                    draft.write_bytes(dumps([bound, *table]).encode())
                    os.replace(draft, target)
        except OSError as error:
            raise ChannelError(f"Cannot open {str(target)!r}") from error


class Transport(filesystem.Transport):
    Channel = Channel
