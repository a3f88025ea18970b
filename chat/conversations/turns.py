"""Takes a turn: stores a person's message and queues a reply to it, or queues another reply to the same message.

The path of the new reply becomes the open one (Conversation.tip).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from chat import guards
from chat.conversations import shares, side_by_side, titles
from chat.conversations.answerer import answerer_of
from chat.conversations.tree import open_at
from chat.errors import BadKey, ConversationGone, ReplyUnderWay, UnknownMessage, UnknownParent
from chat.models import Conversation, Message, Reply
from chat.queue import limits, replies

MAX_KEY_CHARS = 64


def take_turn(conversation: Conversation, text: str, key: str, parent: int | None) -> tuple[Message, Reply]:
    """The person's message and the queued reply. Idempotent: the same key again gives the same two.

    `parent` is the message that this one follows; None starts a branch of its own. An edited message has the same
    parent as the message that it replaces. If two replies are queued side by side (`message.pair`), the left one is
    returned. Raises a ChatError.
    """
    _check_key(key)
    if taken := _taken(conversation, key):
        return taken
    guards.check_message(text, conversation)
    limits.check_rate(conversation.owner_id)
    limits.check_budget(conversation.owner_id)
    with _one_turn_at_a_time(conversation):
        if taken := _taken(conversation, key):
            return taken
        limits.check_room(conversation.owner_id)
        before = _parent(conversation, parent)
        if before is not None:
            side_by_side.lapse(before)
        message = Message.objects.create(
            conversation=conversation, parent=before, role=Message.Role.USER, text=text, key=key
        )
        titles.name_untitled(conversation, text)
        reply = side_by_side.queue_replies(message, answerer_of(conversation))[0]
        _open(conversation, reply)
        return message, reply


def regenerate(conversation: Conversation, message: int, key: str, *, prefix: str = "") -> Reply:
    """Another reply to the same message as the reply `message`, or to the person's message `message`.

    `prefix`: text that the reply begins with. Idempotent by its key. Raises a ChatError.
    """
    _check_key(key)
    if again := _regenerated(conversation, key):
        return again
    question = _question(conversation, message)
    guards.check_message(question.text, conversation)
    if prefix.strip():
        guards.check_message(prefix, conversation)
    limits.check_rate(conversation.owner_id)
    limits.check_budget(conversation.owner_id)
    with _one_turn_at_a_time(conversation):
        if again := _regenerated(conversation, key):
            return again
        if Reply.objects.filter(message__parent=question, state__in=Reply.LIVE).exists():
            raise ReplyUnderWay
        limits.check_room(conversation.owner_id)
        for former in Message.objects.filter(pk=message, role=Message.Role.ASSISTANT):
            side_by_side.lapse(former)
        answerer = answerer_of(conversation)
        reply = replies.queue(
            question,
            answerer.parameters.to_json(),
            preamble=answerer.assistants_preamble,
            instructions=answerer.instructions,
            key=key,
            prefix=prefix,
            policy=answerer.policy or shares.policy_of(conversation),
        )
        _open(conversation, reply)
        return reply


def open_path(conversation: Conversation, message: int) -> int:
    """Opens the path through the message (tree.open_at), and returns its tip. Raises UnknownMessage."""
    try:
        return open_at(conversation, message)
    except KeyError as error:
        raise UnknownMessage(str(message)) from error


@contextmanager
def _one_turn_at_a_time(conversation: Conversation) -> Iterator[None]:
    """A transaction in which the person takes no other turn, so that a repeated send finds the first."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).values_list("pk").get(pk=conversation.owner_id)
        yield


def _open(conversation: Conversation, reply: Reply) -> None:
    still_there = Conversation.objects.filter(pk=conversation.pk, deleted_at=None)
    if still_there.update(tip=reply.message_id, updated_at=timezone.now()) == 0:
        raise ConversationGone


def _check_key(key: str) -> None:
    if not key or len(key) > MAX_KEY_CHARS or not key.isprintable():
        raise BadKey


def _with_key(conversation: Conversation, key: str, role: Message.Role) -> Message | None:
    message = Message.objects.filter(conversation=conversation, key=key).first()
    if message is not None and message.role != role:
        raise BadKey("the key of a turn of another kind")
    return message


def _taken(conversation: Conversation, key: str) -> tuple[Message, Reply] | None:
    message = _with_key(conversation, key, Message.Role.USER)
    if message is None:
        return None
    first = Reply.objects.select_related("message").filter(message__parent=message).order_by("pk")[0]
    pair = message.pair_or_none
    return message, pair.left if pair else first


def _regenerated(conversation: Conversation, key: str) -> Reply | None:
    message = _with_key(conversation, key, Message.Role.ASSISTANT)
    return None if message is None else Reply.objects.select_related("message").get(message=message)


def _parent(conversation: Conversation, parent: int | None) -> Message | None:
    """The message to follow, which has to be of this conversation and complete."""
    if parent is None:
        return None
    message = Message.objects.filter(conversation=conversation, pk=parent).select_related("reply").first()
    if message is None or message.role == Message.Role.USER:
        raise UnknownParent(str(parent))
    reply = message.reply_or_none
    if reply is not None and reply.state in Reply.LIVE:
        raise ReplyUnderWay
    return message


def _question(conversation: Conversation, message: int) -> Message:
    """The person's message that is to be answered again; a hidden one is not."""
    found = Message.objects.filter(conversation=conversation, pk=message).select_related("parent").first()
    question = found.parent if found is not None and found.role == Message.Role.ASSISTANT else found
    if question is None or question.role != Message.Role.USER or question.hidden_at is not None:
        raise UnknownMessage(str(message))
    return question
