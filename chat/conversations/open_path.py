"""The messages on the open path of a conversation's tree, ready for the template."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils.safestring import SafeString, mark_safe

from chat import guards
from chat.conversations.tree import Tree, tree_of
from chat.errors import OF_A_REPLY
from chat.markdown.rendering import render
from chat.models import Choice, Chunk, Conversation, Message, Pair, Policy, Reply


@dataclass(frozen=True)
class ShownMessage:
    """A message as the page shows it. A hidden one has no text at all."""

    message: Message
    reply: Reply | None
    text: str
    seq: int
    siblings: Sequence[int] = ()
    """The message and its alternatives, oldest first."""
    pair: Pair | None = None
    """The undecided pair that this reply is in."""
    sides: Sequence["ShownMessage"] = field(default=(), compare=False)
    """The left and the right reply of that pair."""

    @property
    def is_hidden(self) -> bool:
        return self.message.hidden_at is not None

    @property
    def is_live(self) -> bool:
        return self.reply is not None and self.reply.is_live

    @property
    def policy(self) -> Policy | None:
        """Its policy, if that may be shown."""
        return None if self.reply is None or self.pair is not None else self.reply.policy

    @property
    def compares_versions(self) -> bool:
        """Whether one reply of the pair is from a version on trial; else both are samples of the live model."""
        policies = [side.reply.policy for side in self.sides if side.reply is not None]
        return any(policy is not None and not policy.is_live for policy in policies)

    @property
    def continues_another(self) -> bool:
        """Whether its given beginning is all of an earlier version, which was cut off or stopped."""
        prefix = self.reply.prefix if self.reply is not None else ""
        others = Message.objects.filter(parent=self.message.parent_id).exclude(pk=self.message.pk)
        return bool(prefix) and others.filter(text=prefix).exists()

    @property
    def html(self) -> SafeString:
        return mark_safe(render(self.text))  # noqa: S308  sanitised there

    @property
    def error(self) -> str:
        kind = OF_A_REPLY.get(self.reply.error) if self.reply else None
        return str(kind.message) if kind else ""

    @property
    def blocked_by(self) -> str:
        """The name of the rule or guard that blocked it."""
        return guards.name_of(self.reply.blocked_by) if self.reply and self.reply.blocked_by else ""

    @property
    def choice(self) -> Choice | None:
        """How it was chosen, or is being chosen."""
        return getattr(self.reply, "choice", None)

    @property
    def can_retry(self) -> bool:
        return self.reply is not None and self.reply.state in (Reply.State.INTERRUPTED, Reply.State.FAILED)

    @property
    def is_cut(self) -> bool:
        """Whether it reached the length limit."""
        reply = self.reply
        return reply is not None and reply.state == Reply.State.COMPLETE and reply.finish_reason == "length"

    @property
    def is_empty(self) -> bool:
        """Whether the model ended it without a word."""
        is_complete = self.reply is not None and self.reply.state == Reply.State.COMPLETE
        return is_complete and not self.is_hidden and not self.text.strip()

    @property
    def can_continue(self) -> bool:
        """Whether a new reply may continue its text."""
        if self.reply is None or not self.text.strip():
            return False
        return self.is_cut or self.reply.state in (Reply.State.STOPPED, Reply.State.INTERRUPTED)

    # Which of several versions of a message this is, and its neighbours.

    @property
    def number(self) -> int:
        return self.siblings.index(self.message.pk) + 1

    @property
    def previous(self) -> int | None:
        return self.siblings[self.number - 2] if self.number > 1 else None

    @property
    def next(self) -> int | None:
        return self.siblings[self.number] if self.number < len(self.siblings) else None


def open_branch(conversation: Conversation) -> list[ShownMessage]:
    """The open path: from the first message to the newest one below the conversation's tip."""
    tree = tree_of(conversation.pk)
    return _turns(tree, tree.open_path(conversation.tip_id))


def branch_to(message: Message) -> list[ShownMessage]:
    """The path that ends at the message."""
    tree = tree_of(message.conversation_id)
    return _turns(tree, tree.path(message.pk))


def _turns(tree: Tree, path: Sequence[int]) -> list[ShownMessage]:
    pairs = Pair.objects.filter(message__in=path, revealed_at=None).select_related("left", "right")
    undecided = {message: pair for pair in pairs for message in (pair.left.message_id, pair.right.message_id)}
    of_pairs = [pair for pair in undecided if pair not in path]
    messages = Message.objects.select_related("reply__policy", "reply__choice").in_bulk([*path, *of_pairs])
    return [shown_message(messages[pk], tree, undecided.get(pk), messages) for pk in path if pk in messages]


def shown_message(
    message: Message, tree: Tree | None = None, pair: Pair | None = None, messages: dict[int, Message] | None = None
) -> ShownMessage:
    """The message for the page; `pair` with the `messages` of its two replies if it is in an undecided one."""
    siblings = tree.siblings(message.pk) if tree else [message.pk]
    text, seq = _text(message)
    sides: list[ShownMessage] = []
    if pair is not None and messages is not None:
        for side in (pair.left, pair.right):
            of_side = messages[side.message_id]
            sides.append(ShownMessage(of_side, of_side.reply, *_text(of_side), (), pair))
    return ShownMessage(message, message.reply_or_none, text, seq, siblings, pair, sides)


def _text(message: Message) -> tuple[str, int]:
    """The text so far, and the number of its last chunk."""
    reply = message.reply_or_none
    if message.hidden_at is not None:
        return "", 0
    if reply is None or not reply.is_live:
        return message.text, reply.last_seq if reply else 0
    chunks = list(Chunk.objects.filter(reply=reply).order_by("seq"))
    return "".join(chunk.text for chunk in chunks), chunks[-1].seq if chunks else 0
