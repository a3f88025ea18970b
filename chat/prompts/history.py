"""What stands before a reply, as the model sees it: its preamble, then the branch up to its parent, fitted."""

from collections.abc import Sequence
from uuid import UUID

from django.conf import settings

from chat import policies
from chat.models import Message, Policy
from chat.prompts.fitting import Prompt, fit
from chat.prompts.rendering import Renderer, Turn, renderer

LONGEST_BRANCH = 400
"""Messages looked at; more fit in no context that this site serves."""


def turns_before(message: Message) -> list[Turn]:
    """Of a reply's message: instructions and examples (`Reply.preamble`), then what was said, oldest first."""
    return preamble_of(message) + turns_to(message.conversation_id, message.parent_id)


def turns_seen(message: Message) -> list[Turn]:
    """What the policy saw when it wrote the message: without the turns that no longer fitted."""
    reply = getattr(message, "reply", None)
    trimmed = reply.trimmed if reply is not None else 0
    return preamble_of(message) + turns_to(message.conversation_id, message.parent_id)[trimmed:]


def preamble_of(message: Message) -> list[Turn]:
    reply = getattr(message, "reply", None)
    return [Turn(role=turn["role"], content=turn["content"]) for turn in reply.preamble] if reply is not None else []


def turns_to(conversation_id: UUID, tip: int | None) -> list[Turn]:
    """Up to the message `tip`. Hidden messages and empty replies are left out, as if they had not been said."""
    return [
        Turn(role=turn.role, content=turn.text)
        for turn in branch_to(conversation_id, tip)
        if turn.hidden_at is None and turn.text
    ]


def branch_to(conversation_id: UUID, tip: int | None) -> list[Message]:
    """The messages from the first to `tip`, or the last LONGEST_BRANCH of them."""
    branch = _branch(conversation_id, tip)
    messages = Message.objects.in_bulk(branch)
    return [messages[pk] for pk in branch]


def prompt_for(
    policy: Policy, turns: Sequence[Turn], completion_tokens: int, kept: int = 0, prefix: str = ""
) -> Prompt:
    """The turns as the policy's prompt; the first `kept`, a reply's preamble, always stay.

    Raises TooLong, TurnsRefused, BadPolicy.
    `prefix`: what the reply begins with; the engine writes what follows.
    A policy without files here (scripted, or served elsewhere) gets no token ids, and its lengths are guessed.
    """
    context, its_renderer = room_of(policy)
    return fit(
        turns, its_renderer, context_tokens=context, completion_tokens=completion_tokens, kept=kept, prefix=prefix
    )


def room_of(policy: Policy) -> tuple[int, Renderer | None]:
    """Tokens of the policy's context, and what counts them; None where they can only be guessed. Raises BadPolicy."""
    if policy.is_scripted or not policy.directory:
        return settings.CHAT_CONTEXT_TOKENS, None
    directory = policies.directory(policy)
    return policies.context_tokens(directory), renderer(directory)


def _branch(conversation_id: UUID, tip: int | None) -> list[int]:
    parents: dict[int, int | None] = dict(
        Message.objects.filter(conversation_id=conversation_id).values_list("pk", "parent_id")
    )
    branch: list[int] = []
    while tip is not None and len(branch) < LONGEST_BRANCH:
        branch.append(tip)
        tip = parents[tip]
    return branch[::-1]
