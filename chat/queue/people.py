"""Finds out whether people wait for the engine or read what it writes, and how much bulk work it may do beside them.

Bulk work is what nobody reads as it is written: completions of ranking tasks, simulations, batches of programs. It
shares the engine with people, and on a few cores each completion more slows every other: beside the completions of
two tasks a person's first token came after 9.7 s instead of 0.75 s. So bulk work gives way: none while somebody
waits, and none beside a few readers. Beside many it gets a small share, since on a busy site it would otherwise never
be done.
"""

import math
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Count, Q
from django.utils import timezone

from chat.models import Reply, Ticket

READERS_A_COMPLETION = 4
"""Streams beside which one completion of bulk work may run: it takes at most a fifth of the engine from them."""
NEWEST = 20
"""Rows among which the end of the last reply is looked for; ids grow in the order in which replies began."""


@dataclass(frozen=True)
class Demand:
    waiting: int
    """Replies and single requests that are queued."""
    reading: int
    """Those that are being written."""


def _demand() -> Demand:
    """What people, and programs that ask for a single completion, want of the engines now."""
    now = timezone.now()
    replies = Reply.objects.filter(state__in=Reply.LIVE).aggregate(
        waiting=Count("pk", filter=Q(state=Reply.State.QUEUED, stop_requested=False)),
        reading=Count("pk", filter=Q(state=Reply.State.STREAMING, lease_until__gt=now)),
    )
    single = Ticket.objects.filter(lease_until__gt=now, is_batch=False).aggregate(
        waiting=Count("pk", filter=Q(state=Ticket.State.QUEUED)),
        reading=Count("pk", filter=Q(state=Ticket.State.GRANTED)),
    )
    return Demand(replies["waiting"] + single["waiting"], replies["reading"] + single["reading"])


def room_for_bulk() -> int:
    """How many completions of bulk work may be generated at a time, on all engines together."""
    wanted = _demand()
    if wanted.waiting:
        return 0
    if wanted.reading:
        return wanted.reading // READERS_A_COMPLETION
    return most_bulk()


def most_bulk() -> int:
    """The room while nobody else wants the engine: half of its slots, so that whoever comes finds one free."""
    return max(1, settings.CHAT_ENGINE_SLOTS // 2)


def idle_s() -> float:
    """Seconds since a person or a single request was last served; 0 while one is, infinite if none ever was."""
    wanted = _demand()
    if wanted.waiting or wanted.reading:
        return 0.0
    ended = [*_newest_ends_of_replies(), *_newest_ends_of_requests()]
    return max(0.0, (timezone.now() - max(ended)).total_seconds()) if ended else math.inf


def _newest_ends_of_replies() -> list[datetime]:
    rows = Reply.objects.order_by("-pk").values_list("ended_at", flat=True)[:NEWEST]
    return [at for at in rows if at is not None]


def _newest_ends_of_requests() -> list[datetime]:
    ended = Ticket.objects.filter(state=Ticket.State.ENDED, is_batch=False)
    rows = ended.order_by("-queued_at").values_list("ended_at", flat=True)[:NEWEST]
    return [at for at in rows if at is not None]
