"""Temporary conversations: in no list and never trained on; they are removed soon after their page is closed."""

import logging
from datetime import datetime, timedelta

from django.utils import timezone

from accounts import personal
from chat.conversations.removal import remove
from chat.models import Conversation

log = logging.getLogger(__name__)

IDLE = timedelta(minutes=15)
"""Without an open page and without a message."""
LONGEST = timedelta(hours=24)
"""Since the beginning, whether or not a page is open."""
FOR_MODERATORS = timedelta(days=30)
"""A reported one stays for moderators, who could not decide otherwise, and nobody else sees it once its page is
closed: as long as a deleted conversation, which may be reported, too."""


def first_end() -> datetime:
    return timezone.now() + IDLE


def keep_open(conversation: Conversation) -> None:
    """Puts the end of a temporary one off, since its page is open. What is kept for moderators stays so."""
    if not conversation.is_temporary:
        return
    end = min(timezone.now() + IDLE, conversation.created_at + LONGEST)
    Conversation.objects.filter(pk=conversation.pk, expires_at__lt=end).update(expires_at=end)


def keep_for_moderators(conversation: Conversation) -> None:
    """To be called when a reply of it is reported; does nothing to one that is not temporary."""
    if not conversation.is_temporary:
        return
    end = timezone.now() + FOR_MODERATORS
    Conversation.objects.filter(pk=conversation.pk, expires_at__lt=end).update(expires_at=end)


def end_now(conversation: Conversation) -> None:
    """A temporary one is removed with the next sweep, unless it is kept for moderators."""
    if not conversation.is_temporary:
        return
    now = timezone.now()
    Conversation.objects.filter(pk=conversation.pk, expires_at__lte=now + IDLE).update(expires_at=now)


def remove_ended() -> int:
    """Removes those that have ended, with all that refers to them; returns how many. The ledger keeps its rows, which
    have no text. One in which a reply is still being written waits for the next sweep."""
    removed = 0
    for pk in list(Conversation.objects.filter(expires_at__lte=timezone.now()).values_list("pk", flat=True)):
        try:
            remove([pk])
        except personal.NotYet as reason:
            log.info("a temporary conversation waits to be removed: %s", reason)
        else:
            removed += 1
    return removed
