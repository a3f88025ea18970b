"""Lets bulk work run only as far as people leave room: it waits for room, and is stopped where the room shrinks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from base.database_thread import DatabaseThread
from base.polling import Poller
from chat.errors import EngineDown
from chat.queue import people

T = TypeVar("T")

LOOK_EVERY_S = 0.2
"""How soon bulk work stops for a person; a talker takes as long to start the person's reply."""


class GaveWay(Exception):
    """Bulk work was stopped for a person; it is to go on, or to be done again."""


class NotWanted(Exception):
    """Whoever ordered the work does not wait for it any longer. Raised by a look."""


@dataclass(eq=False)
class Share:
    """Completions that bulk work may generate now."""

    count: int
    is_revoked: asyncio.Event = field(default_factory=asyncio.Event)

    async def hold(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of the work. Raises GaveWay if a person came first."""
        working, revoked = asyncio.create_task(work), asyncio.create_task(self.is_revoked.wait())
        try:
            await asyncio.wait([working, revoked], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise GaveWay
        finally:
            working.cancel()
            revoked.cancel()
            await asyncio.wait([working, revoked])


class BulkRoom(Poller[DatabaseThread]):
    """The room for the bulk work of one event loop. It looks at the queue only while such work waits or runs."""

    def __init__(self) -> None:
        super().__init__()
        self.look: Callable[[], int] = people.room_for_bulk
        """Replaced where something is to be done at each look. Runs in a thread; may raise NotWanted."""
        self._shares: list[Share] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._room = 0

    @asynccontextmanager
    async def share(self, most: int) -> AsyncIterator[Share]:
        """Waits for room for `most` completions, or for as many as there may be at all. Raises NotWanted."""
        share = Share(await self._take(most))
        self._shares.append(share)
        try:
            yield share
        finally:
            self._shares.remove(share)
            self._wake()

    async def _take(self, most: int) -> int:
        if self._task is None:  # nobody has looked for a while
            self._room = 0
        while self._room < 1 or self._free() < min(most, self._room):
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            self.begin()
            try:
                await waiting
            finally:
                self._waiting.remove(waiting)
        return min(most, self._room)

    def _free(self) -> int:
        return self._room - sum(share.count for share in self._shares if not share.is_revoked.is_set())

    def _wake(self, error: Exception | None = None) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(error) if error else waiting.set_result(None)

    def connect(self) -> DatabaseThread:
        return DatabaseThread("room")

    def is_awaited(self) -> bool:
        return bool(self._shares or self._waiting)

    async def poll(self, database: DatabaseThread) -> None:
        try:
            self._set_room(await database(self.look))
        except NotWanted as error:
            self._set_room(0, error)
        await asyncio.sleep(LOOK_EVERY_S)

    def _set_room(self, room: int, error: Exception | None = None) -> None:
        """Revokes what has no room any more, the newest first, and wakes those who wait."""
        self._room = room
        for share in reversed(self._shares):
            if self._free() >= 0:
                break
            share.is_revoked.set()
        self._wake(error)

    def on_failure(self) -> None:
        self._set_room(0, EngineDown("the task that looks for room failed"))
