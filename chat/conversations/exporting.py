"""A conversation as a file: JSON that can be read in again (chat.conversations.importing), and Markdown for people.

The JSON numbers the messages 1, 2, 3 ..., oldest first, and knows no row of this site: the same tree gives the same
file wherever it was read in. What a moderator has hidden is in it without its text, and who wrote a reply that still
stands in an undecided pair is not told.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

from django.utils.translation import gettext as _

from chat.conversations import side_by_side
from chat.conversations.tree import tree_of
from chat.models import Chunk, Conversation, Message

FORMAT, VERSION = "chamsae.conversation", 1
OF_A_REPLY = (
    "state",
    "finish_reason",
    "error",
    "blocked_by",
    "prefix",
    "trimmed",
    "prompt_tokens",
    "completion_tokens",
    "parameters",
)
"""What the file says of a reply's making, beside the name of the policy."""


def as_json(conversation: Conversation) -> dict[str, Any]:
    messages = list(_messages(conversation))
    numbers = {message.pk: number for number, message in enumerate(messages, 1)}
    blind = side_by_side.blind([reply.pk for message in messages if (reply := message.reply_or_none)])
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": conversation.title,
        "created_at": conversation.created_at.astimezone(UTC).isoformat(),
        "tip": numbers.get(conversation.tip_id or 0),
        "messages": [_message(message, numbers, blind) for message in messages],
    }


def as_markdown(conversation: Conversation) -> str:
    """The path that is open, each message under a heading that says who wrote it."""
    path = tree_of(conversation.pk).open_path(conversation.tip_id)
    shown = Message.objects.filter(pk__in=path).select_related("reply__policy").order_by("pk")
    blind = side_by_side.blind([reply.pk for message in shown if (reply := message.reply_or_none)])
    parts = [f"# {conversation.title or _('New conversation')}"]
    for message in shown:
        parts += [f"## {_author(message, blind)}", _text_of(message) or f"*{_('no text')}*"]
    return "\n\n".join(parts) + "\n"


def _text_of(message: Message) -> str:
    """What may be shown of the message; of a reply that is being written, what there is of it."""
    if message.hidden_at is not None:
        return ""
    reply = message.reply_or_none
    if reply is not None and reply.is_live:
        return "".join(Chunk.objects.filter(reply=reply).order_by("seq").values_list("text", flat=True))
    return message.text


def _messages(conversation: Conversation) -> Iterator[Message]:
    rows = conversation.messages.exclude(role=Message.Role.SYSTEM).order_by("pk")
    return rows.select_related("reply__policy").iterator(chunk_size=500)


def _message(message: Message, numbers: Mapping[int, int], blind: set[int]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": numbers[message.pk],
        "parent": numbers.get(message.parent_id or 0),
        "role": message.role,
        "text": _text_of(message),
        "created_at": message.created_at.astimezone(UTC).isoformat(),
    }
    if message.hidden_at is not None:
        told["hidden"] = True
    if message.role == Message.Role.ASSISTANT:
        told["reply"] = _reply(message, blind)
    return told


def _reply(message: Message, blind: set[int]) -> dict[str, Any] | None:
    """How a reply was made; of one that was read in from a file, what that file said."""
    reply = message.reply_or_none
    if reply is None:
        return message.imported or None
    is_told = reply.policy is not None and reply.pk not in blind
    policy = reply.policy.name if is_told and reply.policy is not None else None
    made = {"policy": policy, **{name: getattr(reply, name) for name in OF_A_REPLY}}
    return made | ({"prefix": ""} if message.hidden_at is not None else {})


def _author(message: Message, blind: set[int]) -> str:
    if message.role == Message.Role.USER:
        return _("You")
    reply = message.reply_or_none
    if reply is not None and reply.policy is not None and reply.pk not in blind:
        return str(reply.policy.name)
    return _("Reply")
