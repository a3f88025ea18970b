"""Celery's broker of files, each of whose messages appears whole.

kombu's own shows a message while it is being written, and a quick worker reads half of it.
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
"""No worker looks at a name that ends so."""


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
        except JSONDecodeError:  # half a message of a machine that lost its power; the rows know what was to be done
            raise Empty from None


class Transport(filesystem.Transport):
    Channel = Channel
