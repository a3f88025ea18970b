"""Where requests of this process wait for their turn: one loop looks and renews for all of them."""

import asyncio
import logging
import time
import weakref
from dataclasses import dataclass, field
from uuid import UUID

from django.db.utils import InterfaceError, OperationalError

from base.database_thread import DatabaseThread
from chat.errors import OF_A_REPLY, EngineDown, TalkerGone
from chat.models import Ticket
from chat.queue import tickets
from chat.queue.tickets import NOTHING, Used

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.05
RENEW_EVERY_S = 4.0
PAUSE_AFTER_ERROR_S = 0.5


def _open() -> asyncio.Future[Ticket]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False)
class Place:
    """A request with its ticket, from the moment it waits until it is answered."""

    ticket: UUID
    turn: asyncio.Future[Ticket] = field(default_factory=_open)
    """The granted ticket. Raises the ChatError that it ended with."""
    used: Used = NOTHING
    """By now; noted with the lease, for the case that this process is killed."""
    is_lost: bool = False
    """The lease was not kept: the engine has given its room to somebody else."""


class Turnstile:
    def __init__(self) -> None:
        self._places: dict[UUID, Place] = {}
        self._task: asyncio.Task[None] | None = None

    def stand(self, ticket: UUID) -> Place:
        place = self._places[ticket] = Place(ticket)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._let_down)
        return place

    def leave(self, place: Place) -> None:
        self._places.pop(place.ticket, None)
        if not place.turn.cancel() and not place.turn.cancelled():
            place.turn.exception()  # nobody may have asked for it

    async def _run(self) -> None:
        database = DatabaseThread("turnstile")
        renew_at = time.monotonic() + RENEW_EVERY_S
        try:
            while self._places:
                try:
                    await self._look(database)
                    if time.monotonic() >= renew_at:
                        renew_at = time.monotonic() + RENEW_EVERY_S
                        await self._renew(database)
                except (OperationalError, InterfaceError) as error:
                    logger.warning("the database is away: %s", error)
                    await asyncio.sleep(PAUSE_AFTER_ERROR_S)
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self._task = None  # before anything is awaited: whoever comes from now on starts a new loop
            await database.close()

    async def _look(self, database: DatabaseThread) -> None:
        waiting = [pk for pk, place in self._places.items() if not place.turn.done()]
        if not waiting:
            return
        rows = await database(tickets.by_id, waiting)
        for pk in waiting:
            place, row = self._places.get(pk), rows.get(pk)
            if place is None or place.turn.done() or (row and row.state == Ticket.State.QUEUED):
                continue
            if row and row.state == Ticket.State.GRANTED:
                place.turn.set_result(row)
            else:
                place.turn.set_exception(OF_A_REPLY.get(row.error if row else "", TalkerGone)())

    async def _renew(self, database: DatabaseThread) -> None:
        lost = await database(tickets.renew, {pk: place.used for pk, place in self._places.items()})
        for place in map(self._places.get, lost):
            if place is not None:
                place.is_lost = True
        await database(tickets.reap)

    def _let_down(self, task: asyncio.Task[None]) -> None:
        """An error that nobody foresaw must not leave anybody waiting."""
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the turnstile broke", exc_info=error)
            for place in self._places.values():
                place.is_lost = True
                if not place.turn.done():
                    place.turn.set_exception(EngineDown("the turnstile broke"))


_turnstiles: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Turnstile]" = weakref.WeakKeyDictionary()


def turnstile() -> Turnstile:
    """The one of the running event loop."""
    return _turnstiles.setdefault(asyncio.get_running_loop(), Turnstile())
