"""Limits on what one person, and all together, may ask for; each error says when to try again."""

from django.conf import settings
from django.db.models import Count, Q
from django.utils import timezone

from base import shared_cache
from chat.errors import BudgetHeld, BudgetUsedUp, QueueFull, RateLimited, TooManyReplies
from chat.models import Reply, Ticket
from chat.queue import waiting
from metering import budgets
from metering.errors import BudgetSpent

MINUTE_S = 60


def check_rate(user_id: int) -> None:
    """Counts a message in the current minute. Raises RateLimited past settings.CHAT_MESSAGES_PER_MINUTE."""
    count, left_s = shared_cache.count(f"chat:messages:{user_id}", MINUTE_S)
    if count > settings.CHAT_MESSAGES_PER_MINUTE:
        raise RateLimited(retry_after_s=left_s)


def check_budget(user_id: int, key_id: int | None = None) -> None:
    """Raises BudgetUsedUp if the budget of the person, or of the key that they use, is spent."""
    try:
        budgets.check(user_id, key_id)
    except BudgetSpent as error:
        kind = BudgetHeld if error.spent < error.limit else BudgetUsedUp
        raise kind(f"{error.spent} spent and {error.held} held of {error.limit}", error.until) from error


def check_room(user_id: int) -> None:
    """Raises TooManyReplies or QueueFull. Counts rows: to be called in the transaction that adds one."""
    live = Reply.objects.filter(state__in=Reply.LIVE).aggregate(
        mine=Count("pk", filter=Q(message__conversation__owner=user_id)),
        queued=Count("pk", filter=Q(state=Reply.State.QUEUED)),
    )
    if live["mine"] >= settings.CHAT_REPLIES_PER_USER:
        raise TooManyReplies
    _check_queue(live["queued"])


def check_room_for_ticket(user_id: int, *, is_batch: bool = False) -> None:
    """The same for a program's request, of which a person may have settings.API_CONCURRENCY at a time."""
    mine = Ticket.objects.filter(user=user_id, lease_until__gt=timezone.now()).exclude(state=Ticket.State.ENDED)
    if mine.count() >= settings.API_CONCURRENCY:
        raise TooManyReplies
    _check_queue(Reply.objects.filter(state=Reply.State.QUEUED).count(), is_batch=is_batch)


def _check_queue(replies: int, *, is_batch: bool = False) -> None:
    """Replies and tickets wait in one queue. Batches take nobody's place in it: they count for each other alone."""
    tickets = Ticket.objects.filter(state=Ticket.State.QUEUED, lease_until__gt=timezone.now())
    waiting_tickets = (tickets if is_batch else tickets.filter(is_batch=False)).count()
    if replies + waiting_tickets >= settings.CHAT_QUEUE_LIMIT:
        raise QueueFull(retry_after_s=waiting.seconds_to_room())
