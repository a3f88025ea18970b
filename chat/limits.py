"""How much one person, and all together, may ask for: past a limit comes an error that says when to try again."""

import time

from django.conf import settings
from django.core.cache import cache

from chat.errors import QueueFull, RateLimited, TooManyReplies
from chat.models import Reply

MINUTE_S = 60


def check_rate(user_id: int) -> None:
    """Counts a message of this minute. Raises RateLimited past settings.CHAT_MESSAGES_PER_MINUTE."""
    now = time.time()
    key = f"chat:messages:{user_id}:{int(now // MINUTE_S)}"
    cache.add(key, 0, timeout=2 * MINUTE_S)
    if cache.incr(key) > settings.CHAT_MESSAGES_PER_MINUTE:
        raise RateLimited(retry_after_s=MINUTE_S - now % MINUTE_S)


def check_room(user_id: int) -> None:
    """Raises TooManyReplies or QueueFull. Counts rows, so it belongs into the transaction that adds one."""
    mine = Reply.objects.filter(message__conversation__owner=user_id, state__in=Reply.LIVE)
    if mine.count() >= settings.CHAT_REPLIES_PER_USER:
        raise TooManyReplies
    if Reply.objects.filter(state=Reply.State.QUEUED).count() >= settings.CHAT_QUEUE_LIMIT:
        raise QueueFull
