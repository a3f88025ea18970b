"""The line before an engine: replies of the page and tickets of programs in one order, the longest wait first."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from chat.models import Reply, Ticket

Lane = int | None
"""The policy that a request names, None for whichever is live."""


@dataclass(frozen=True)
class Entry:
    """What stands in the line: a reply or a ticket."""

    queued_at: datetime
    lane: Lane
    reply: int | None = None
    ticket: UUID | None = None
    slots: int = 1
    """Completions that it takes at once."""

    @property
    def order(self) -> tuple[datetime, bool, int]:
        return self.queued_at, self.reply is None, self.reply or 0


ANY = Q()


def entries(lanes: Q = ANY, most: int | None = None) -> list[Entry]:
    """Those whose lane is among `lanes`, oldest first; at most so many of each kind."""
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
