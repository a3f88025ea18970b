"""The turns before a reply as its policy sees them: the preamble, then the branch up to its parent, as a prompt."""

from collections.abc import Sequence
from uuid import UUID

from django.conf import settings

from chat import policies
from chat.models import Message, Policy, Reply
from chat.prompts.fitting import PolicyPrompt, fit
from chat.prompts.preamble import preamble_with
from chat.prompts.rendering import Renderer, Turn, renderer

LONGEST_BRANCH = 400
"""Messages that are read; no context that this site serves holds more."""


def turns_before(message: Message) -> list[Turn]:
    """Of a reply's message: instructions and examples (`Reply.preamble`), then the branch, oldest first."""
    return preamble_of(message) + turns_to(message.conversation_id, message.parent_id)


def turns_seen(message: Message) -> list[Turn]:
    """What the policy saw when it wrote the message: without the turns that did not fit."""
    reply = message.reply_or_none
    trimmed = reply.trimmed if reply is not None else 0
    return preamble_of(message) + turns_to(message.conversation_id, message.parent_id)[trimmed:]


def preamble_of(message: Message) -> list[Turn]:
    """What stood before the conversation when the message was written; nothing where nobody's policy wrote it."""
    reply = message.reply_or_none
    return preamble_of_reply(reply) if reply is not None else []


def preamble_of_reply(reply: Reply) -> list[Turn]:
    return preamble_with(assistants_preamble(reply), reply.instructions)


def assistants_preamble(reply: Reply) -> list[Turn]:
    """Without the person's own instructions, which nobody else may read."""
    return [Turn(role=turn["role"], content=turn["content"]) for turn in reply.preamble]


def turns_to(conversation_id: UUID, tip: int | None) -> list[Turn]:
    """The branch up to the message `tip`, without hidden messages and empty replies."""
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
) -> PolicyPrompt:
    """The turns as the policy's prompt; the first `kept`, a reply's preamble, always stay.

    Raises TooLong, TurnsRefused, BadPolicy.
    `prefix`: what the reply begins with; the engine writes what follows.
    A policy without files here (scripted, or served elsewhere) gets no token ids; its lengths are estimated.
    """
    return fit(
        turns,
        renderer_of(policy),
        context_tokens=context_window(policy),
        completion_tokens=completion_tokens,
        kept=kept,
        prefix=prefix,
    )


def context_window(policy: Policy) -> int:
    """Tokens that a prompt and its completion may have together. Raises BadPolicy."""
    return policies.context_tokens(policies.words(policy)) if _has_files(policy) else settings.CHAT_CONTEXT_TOKENS


def renderer_of(policy: Policy) -> Renderer | None:
    """None where the policy's tokenizer is not here, and lengths can only be estimated. Raises BadPolicy."""
    return renderer(policies.words(policy)) if _has_files(policy) else None


def _has_files(policy: Policy) -> bool:
    return bool(policy.directory) and not policy.is_scripted


def _branch(conversation_id: UUID, tip: int | None) -> list[int]:
    parents: dict[int, int | None] = dict(
        Message.objects.filter(conversation_id=conversation_id).values_list("pk", "parent_id")
    )
    branch: list[int] = []
    while tip is not None and len(branch) < LONGEST_BRANCH:
        branch.append(tip)
        tip = parents[tip]
    return branch[::-1]
