"""Taking a turn: a person's message becomes a row, and a reply to it is queued, both or neither."""

from dataclasses import asdict

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from chat import guards, limits, replies
from chat.engines.engine import Parameters
from chat.errors import BadKey, ConversationGone, ReplyUnderWay, UnknownParent
from chat.models import Conversation, Message, Reply

MAX_KEY_CHARS = 64


def take_turn(conversation: Conversation, text: str, key: str, parent: int | None) -> tuple[Message, Reply]:
    """The person's message and the queued reply. The same key again gives the same two, and costs nothing.

    `parent` is the message that this one follows; None starts a branch of its own. Raises a ChatError.
    """
    if not key or len(key) > MAX_KEY_CHARS or not key.isprintable():
        raise BadKey
    if taken := _taken(conversation, key):
        return taken
    guards.check_message(text, conversation)
    limits.check_rate(conversation.owner_id)
    with transaction.atomic():
        # One turn of a person at a time: the second of two equal sends finds the first.
        User.objects.select_for_update().get(pk=conversation.owner_id)
        if taken := _taken(conversation, key):
            return taken
        if Conversation.objects.filter(pk=conversation.pk, deleted_at=None).update(updated_at=timezone.now()) == 0:
            raise ConversationGone
        limits.check_room(conversation.owner_id)
        message = Message.objects.create(
            conversation=conversation,
            parent=_parent(conversation, parent),
            role=Message.Role.USER,
            text=text,
            key=key,
        )
        return message, replies.queue(message, asdict(default_parameters()))


def default_parameters() -> Parameters:
    return Parameters(
        temperature=settings.CHAT_TEMPERATURE, max_completion_tokens=settings.CHAT_MAX_COMPLETION_TOKENS
    )


def _taken(conversation: Conversation, key: str) -> tuple[Message, Reply] | None:
    message = Message.objects.filter(conversation=conversation, key=key).first()
    if message is None:
        return None
    return message, Reply.objects.select_related("message").filter(message__parent=message).order_by("pk")[0]


def _parent(conversation: Conversation, parent: int | None) -> Message | None:
    """The message to follow: one of this conversation, and nothing that is still being written."""
    if parent is None:
        return None
    message = Message.objects.filter(conversation=conversation, pk=parent).first()
    if message is None or message.role == Message.Role.USER:
        raise UnknownParent(str(parent))
    if Reply.objects.filter(message=message, state__in=Reply.LIVE).exists():
        raise ReplyUnderWay
    return message
