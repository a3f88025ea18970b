"""Ends replies and tickets that nobody works on or waits for any more, and queued ones that no engine will serve."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from chat.models import Reply, Ticket
from chat.queue import replies, tickets, waiting

Work = TypeVar("Work", Reply, Ticket)

QUEUE_PATIENCE = timedelta(seconds=60)
"""How long work waits in the queue while no engine serves it; the engine may be restarting."""


def reap(*, except_owner: str = "") -> int:
    """How many were ended. `except_owner`: a talker whose replies are left alone, even with an expired lease."""
    now = timezone.now()
    unwritten = Q(state=Reply.State.STREAMING, lease_until__lt=now) & ~Q(owner=except_owner)
    stopped = Q(state=Reply.State.QUEUED, stop_requested=True)
    unawaited = Q(lease_until__lt=now) & ~Q(state=Ticket.State.ENDED)
    return _end_each(Reply.objects.all(), unwritten | stopped, replies.end_abandoned) + _end_each(
        Ticket.objects.all(), unawaited, tickets.end_abandoned
    )


def _end_each(rows: QuerySet[Work], abandoned: Q, end: Callable[[QuerySet[Work], Work], bool]) -> int:
    """Each in a transaction of its own, on the condition that nobody took it up meanwhile."""
    condition = abandoned | _unserved(rows)
    ended = 0
    for row in rows.filter(condition).order_by("queued_at", "pk"):
        with transaction.atomic():
            ended += end(rows.filter(condition, pk=row.pk), row)
    return ended


def _unserved(rows: QuerySet[Work]) -> Q:
    """What has waited longer than QUEUE_PATIENCE in a lane that no engine serves."""
    overdue = Q(state=rows.model.State.QUEUED, queued_at__lt=timezone.now() - QUEUE_PATIENCE)
    unserved = Q(pk__in=())
    for lane in rows.filter(overdue).order_by().values_list("policy", flat=True).distinct():
        if not waiting.is_served(lane, QUEUE_PATIENCE):
            unserved |= overdue & Q(policy=lane)
    return unserved
