"""Celery's filesystem broker with atomic writes: a worker never reads half a message.

kombu's own writes a message in place, where a quick worker may read it too early.
"""

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


class Transport(filesystem.Transport):
    Channel = Channel
