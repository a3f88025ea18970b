"""Waits for the tickets of this process: one task finds out which were granted, and renews the leases of all."""

import asyncio
import time
from dataclasses import dataclass, field
from uuid import UUID

from base.database_thread import DatabaseThread
from base.polling import Poller
from chat.errors import OF_A_REPLY, EngineDown, TalkerGone
from chat.models import Ticket
from chat.queue import reaping, tickets
from chat.queue.tickets import NOTHING, Used

POLL_EVERY_S = 0.05
RENEW_EVERY_S = 4.0


def _new_future() -> asyncio.Future[Ticket]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False)
class PendingTicket:
    """A request's ticket, from the moment it waits until the request is answered."""

    ticket: UUID
    granted: asyncio.Future[Ticket] = field(default_factory=_new_future)
    """The granted ticket. Raises the ChatError that it ended with."""
    used: Used = NOTHING
    """So far; stored when the lease is renewed, in case this process is killed."""
    is_lost: bool = False
    """The lease was not renewed in time: the engine has given its slots to somebody else."""


class TicketPoller(Poller[DatabaseThread]):
    def __init__(self) -> None:
        super().__init__()
        self._pending: dict[UUID, PendingTicket] = {}
        self._renew_at = 0.0

    def add(self, ticket: UUID) -> PendingTicket:
        pending = self._pending[ticket] = PendingTicket(ticket)
        self.begin()
        return pending

    def remove(self, pending: PendingTicket) -> None:
        self._pending.pop(pending.ticket, None)
        if not pending.granted.cancel() and not pending.granted.cancelled():
            pending.granted.exception()  # marks it as retrieved, for nobody may have awaited it

    def connect(self) -> DatabaseThread:
        self._renew_at = time.monotonic() + RENEW_EVERY_S
        return DatabaseThread("tickets")

    def is_awaited(self) -> bool:
        return bool(self._pending)

    async def poll(self, database: DatabaseThread) -> None:
        await self._find_granted(database)
        if time.monotonic() >= self._renew_at:
            self._renew_at = time.monotonic() + RENEW_EVERY_S
            await self._renew(database)
        await asyncio.sleep(POLL_EVERY_S)

    def on_failure(self) -> None:
        for pending in self._pending.values():
            pending.is_lost = True
            if not pending.granted.done():
                pending.granted.set_exception(EngineDown("the task that waits for tickets failed"))

    async def _find_granted(self, database: DatabaseThread) -> None:
        waiting = [pk for pk, pending in self._pending.items() if not pending.granted.done()]
        if not waiting:
            return
        rows = await database(tickets.by_id, waiting)
        for pk in waiting:
            pending, row = self._pending.get(pk), rows.get(pk)
            if pending is None or pending.granted.done() or (row and row.state == Ticket.State.QUEUED):
                continue
            if row and row.state == Ticket.State.GRANTED:
                pending.granted.set_result(row)
            else:
                pending.granted.set_exception(OF_A_REPLY.get(row.error if row else "", TalkerGone)())

    async def _renew(self, database: DatabaseThread) -> None:
        lost = await database(tickets.renew, {pk: pending.used for pk, pending in self._pending.items()})
        for pending in map(self._pending.get, lost):
            if pending is not None:
                pending.is_lost = True
        await database(reaping.reap)
