"""Exports a conversation as JSON, which can be imported again (chat.conversations.importing), or as Markdown.

The JSON numbers the messages 1, 2, 3 ..., oldest first, and has no ids of this site: the same tree gives the same
file wherever it was imported. A message that a moderator has hidden is exported without its text, and a reply in an
undecided pair without its policy.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

from django.utils.translation import gettext as _

from chat.conversations import side_by_side
from chat.conversations.tree import tree_of
from chat.models import Chunk, Conversation, Message

FORMAT, VERSION = "chamsae.conversation", 1
REPLY_FIELDS = (
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
"""Fields of a reply that the file has beside the name of its policy."""


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
    """The open path, each message under a heading that names its author."""
    path = tree_of(conversation.pk).open_path(conversation.tip_id)
    shown = Message.objects.filter(pk__in=path).select_related("reply__policy").order_by("pk")
    blind = side_by_side.blind([reply.pk for message in shown if (reply := message.reply_or_none)])
    parts = [f"# {conversation.title or _('New conversation')}"]
    for message in shown:
        parts += [f"## {_author(message, blind)}", _text_of(message) or f"*{_('no text')}*"]
    return "\n\n".join(parts) + "\n"


def _text_of(message: Message) -> str:
    """The text that may be shown; of a reply that is being written, what is stored so far."""
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
    exported: dict[str, Any] = {
        "id": numbers[message.pk],
        "parent": numbers.get(message.parent_id or 0),
        "role": message.role,
        "text": _text_of(message),
        "created_at": message.created_at.astimezone(UTC).isoformat(),
    }
    if message.hidden_at is not None:
        exported["hidden"] = True
    if message.role == Message.Role.ASSISTANT:
        exported["reply"] = _reply(message, blind)
    return exported


def _reply(message: Message, blind: set[int]) -> dict[str, Any] | None:
    """How a reply was generated; of an imported one, what its file said."""
    reply = message.reply_or_none
    if reply is None:
        return message.imported or None
    policy = reply.policy.name if reply.policy is not None and reply.pk not in blind else None
    fields = {"policy": policy, **{name: getattr(reply, name) for name in REPLY_FIELDS}}
    return fields | ({"prefix": ""} if message.hidden_at is not None else {})


def _author(message: Message, blind: set[int]) -> str:
    if message.role == Message.Role.USER:
        return _("You")
    reply = message.reply_or_none
    if reply is not None and reply.policy is not None and reply.pk not in blind:
        return str(reply.policy.name)
    return _("Reply")
