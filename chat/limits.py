"""How much one person, and all together, may ask for: past a limit comes an error that says when to try again."""

from django.conf import settings

from accounts import shared_cache
from chat import waiting
from chat.errors import QueueFull, RateLimited, TooManyReplies
from chat.models import Reply

MINUTE_S = 60


def check_rate(user_id: int) -> None:
    """Counts a message of this minute. Raises RateLimited past settings.CHAT_MESSAGES_PER_MINUTE."""
    count, left_s = shared_cache.count(f"chat:messages:{user_id}", MINUTE_S)
    if count > settings.CHAT_MESSAGES_PER_MINUTE:
        raise RateLimited(retry_after_s=left_s)


def check_room(user_id: int) -> None:
    """Raises TooManyReplies or QueueFull. Counts rows, so it belongs into the transaction that adds one."""
    mine = Reply.objects.filter(message__conversation__owner=user_id, state__in=Reply.LIVE)
    if mine.count() >= settings.CHAT_REPLIES_PER_USER:
        raise TooManyReplies
    if Reply.objects.filter(state=Reply.State.QUEUED).count() >= settings.CHAT_QUEUE_LIMIT:
        raise QueueFull(retry_after_s=waiting.seconds_to_room())
