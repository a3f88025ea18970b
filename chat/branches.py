"""The branch of a conversation's tree that its page shows, as turns ready for the template."""

from dataclasses import dataclass

from django.utils.safestring import SafeString, mark_safe

from chat.errors import OF_A_REPLY
from chat.markdown import render
from chat.models import Chunk, Conversation, Message, Reply


@dataclass(frozen=True)
class Turn:
    """One message as the page shows it. A hidden one carries no text at all."""

    message: Message
    reply: Reply | None
    text: str
    seq: int

    @property
    def is_hidden(self) -> bool:
        return self.message.hidden_at is not None

    @property
    def is_live(self) -> bool:
        return self.reply is not None and self.reply.is_live

    @property
    def html(self) -> SafeString:
        return mark_safe(render(self.text))  # noqa: S308  sanitised there

    @property
    def error(self) -> str:
        kind = OF_A_REPLY.get(self.reply.error) if self.reply else None
        return str(kind.message) if kind else ""

    @property
    def can_retry(self) -> bool:
        return self.reply is not None and self.reply.state in (Reply.State.INTERRUPTED, Reply.State.FAILED)


def open_branch(conversation: Conversation) -> list[Turn]:
    """From the first message to the newest one, along the parents."""
    messages = {
        message.pk: message
        for message in conversation.messages.exclude(role=Message.Role.SYSTEM).select_related("reply__policy")
    }
    branch: list[Message] = []
    newest = messages.get(max(messages, default=0))
    while newest is not None:
        branch.append(newest)
        newest = messages.get(newest.parent_id or 0)
    return [turn(message) for message in reversed(branch)]


def turn(message: Message) -> Turn:
    reply = getattr(message, "reply", None)
    if message.hidden_at is not None:
        return Turn(message, reply, "", 0)
    if reply is None or not reply.is_live:
        return Turn(message, reply, message.text, reply.last_seq if reply else 0)
    chunks = list(Chunk.objects.filter(reply=reply).order_by("seq"))
    return Turn(message, reply, "".join(chunk.text for chunk in chunks), chunks[-1].seq if chunks else 0)
