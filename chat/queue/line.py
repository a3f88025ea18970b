"""The order of the queue: replies of the page and single requests of programs together, the longest wait first.

A program that asks for one completion may have a person at its other end, who waits as anybody does. Batches, of
which somebody reads the result later, come after all of them.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from chat.choosing.plan import most_completions
from chat.models import Reply, Ticket

Lane = int | None
"""The policy that an entry names; None: whichever is live."""


@dataclass(frozen=True)
class Entry:
    """A queued reply or ticket."""

    queued_at: datetime
    lane: Lane
    reply: int | None = None
    ticket: UUID | None = None
    slots: int = 1
    """Completions that are generated at once for it."""
    is_batch: bool = False

    @property
    def order(self) -> tuple[bool, datetime, bool, int]:
        return self.is_batch, self.queued_at, self.reply is None, self.reply or 0


ANY = Q()
IS_QUEUED = """
    SELECT EXISTS (SELECT 1 FROM chat_reply WHERE state = %s) OR EXISTS (SELECT 1 FROM chat_ticket WHERE state = %s)
"""


def is_empty() -> bool:
    """Whether nobody waits. A talker that writes asks twenty times a second; `entries` takes thirty times as long."""
    with connection.cursor() as cursor:
        cursor.execute(IS_QUEUED, [Reply.State.QUEUED, Ticket.State.QUEUED])
        return not cursor.fetchone()[0]


def entries(lanes: Q = ANY, most: int | None = None) -> list[Entry]:
    """Entries of the lanes, oldest first, batches last; at most `most` replies and `most` tickets."""
    replies = Reply.objects.filter(lanes, state=Reply.State.QUEUED, stop_requested=False).order_by("queued_at", "pk")
    tickets = Ticket.objects.filter(lanes, state=Ticket.State.QUEUED, lease_until__gt=timezone.now())
    waiting = list(replies.values_list("queued_at", "policy_id", "pk")[:most])
    slots_a_reply = most_completions() if waiting else 1
    found = [Entry(queued_at, lane, reply=pk, slots=slots_a_reply) for queued_at, lane, pk in waiting] + [
        Entry(queued_at, lane, ticket=pk, slots=slots, is_batch=is_batch)
        for queued_at, lane, pk, slots, is_batch in tickets.order_by("is_batch", "queued_at", "pk").values_list(
            "queued_at", "policy_id", "pk", "slots", "is_batch"
        )[:most]
    ]
    return sorted(found, key=lambda entry: entry.order)
