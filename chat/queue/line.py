"""The order of the queue: replies of the page and tickets of programs together, the longest wait first."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

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

    @property
    def order(self) -> tuple[datetime, bool, int]:
        return self.queued_at, self.reply is None, self.reply or 0


ANY = Q()


def entries(lanes: Q = ANY, most: int | None = None) -> list[Entry]:
    """Entries of the lanes, oldest first; at most `most` replies and `most` tickets."""
    replies = Reply.objects.filter(lanes, state=Reply.State.QUEUED, stop_requested=False).order_by("queued_at", "pk")
    tickets = Ticket.objects.filter(lanes, state=Ticket.State.QUEUED, lease_until__gt=timezone.now())
    found = [
        Entry(queued_at, lane, reply=pk)
        for queued_at, lane, pk in replies.values_list("queued_at", "policy_id", "pk")[:most]
    ] + [
        Entry(queued_at, lane, ticket=pk, slots=slots)
        for queued_at, lane, pk, slots in tickets.order_by("queued_at", "pk").values_list(
            "queued_at", "policy_id", "pk", "slots"
        )[:most]
    ]
    return sorted(found, key=lambda entry: entry.order)
