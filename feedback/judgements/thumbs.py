"""Thumbs up or down on replies in the chat, with reasons from a list and a comment; they can be taken back."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from chat.models import Message, Reply
from feedback.errors import BadReason, NothingIsKept, StillWritten
from feedback.models import Thumb
from feedback.webhooks import events

UP_REASONS: dict[str, Promise] = {
    "correct": _("Correct"),
    "clear": _("Easy to understand"),
    "complete": _("Complete"),
    "kind": _("Good tone"),
}
DOWN_REASONS: dict[str, Promise] = {
    "wrong": _("Not correct"),
    "off_topic": _("Does not answer the question"),
    "unclear": _("Hard to understand"),
    "too_long": _("Too long"),
    "too_short": _("Too short"),
    "repeats": _("Repeats itself"),
    "rude": _("Bad tone"),
    "unsafe": _("Harmful or unsafe"),
}
REASONS = UP_REASONS | DOWN_REASONS
MAX_COMMENT_CHARS = 2000


def _of(message: Message, person: User) -> QuerySet[Thumb]:
    return Thumb.objects.filter(message=message, person=person)


def give(message: Message, person: User, is_up: bool, reasons: Sequence[str] = (), comment: str = "") -> Thumb:
    """Sets or replaces the person's thumb on a message. Raises BadReason, StillWritten, NothingIsKept."""
    if message.conversation.is_temporary:
        raise NothingIsKept
    fitting = UP_REASONS if is_up else DOWN_REASONS
    if unknown := [reason for reason in reasons if reason not in fitting]:
        raise BadReason(unknown[0])
    if len(comment) > MAX_COMMENT_CHARS:
        raise BadReason(f"{len(comment)} characters")
    if Reply.objects.filter(message=message, state__in=Reply.LIVE).exists():
        raise StillWritten
    values = {"is_up": is_up, "reasons": sorted(set(reasons), key=list(fitting).index), "comment": comment.strip()}
    with transaction.atomic():
        given = Thumb.objects.update_or_create(message=message, person=person, defaults=values)[0]
        events.thumb_given(given)
    return given


def take_back(message: Message, person: User) -> None:
    _of(message, person).delete()
