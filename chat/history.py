"""What was said before a reply, as the model sees it: the branch up to the reply's parent, fitted to the context."""

from collections.abc import Sequence
from uuid import UUID

from django.conf import settings

from chat import policies
from chat.models import Message, Policy
from chat.prompt import Prompt, Turn, fit, renderer

LONGEST_BRANCH = 400
"""Messages looked at; more fit in no context that this site serves."""


def turns_before(message: Message) -> list[Turn]:
    """Oldest first. Hidden messages and empty replies are left out, as if they had not been said."""
    branch = _branch(message.conversation_id, message.parent_id)
    texts = Message.objects.in_bulk(branch)
    return [
        Turn(role=turn.role, content=turn.text)
        for turn in (texts[pk] for pk in branch)
        if turn.hidden_at is None and turn.text
    ]


def prompt_for(policy: Policy, turns: Sequence[Turn], completion_tokens: int) -> Prompt:
    """The turns as the policy's prompt. Raises TooLong, BadPolicy.

    A policy without files here (scripted, or served elsewhere) gets no token ids, and its lengths are guessed.
    """
    if policy.is_scripted or not policy.directory:
        limit = settings.CHAT_CONTEXT_TOKENS
        return fit(turns, None, context_tokens=limit, completion_tokens=completion_tokens)
    directory = policies.directory(policy)
    return fit(
        turns,
        renderer(directory),
        context_tokens=policies.context_tokens(directory),
        completion_tokens=completion_tokens,
    )


def _branch(conversation_id: UUID, tip: int | None) -> list[int]:
    parents: dict[int, int | None] = dict(
        Message.objects.filter(conversation_id=conversation_id).values_list("pk", "parent_id")
    )
    branch: list[int] = []
    while tip is not None and len(branch) < LONGEST_BRANCH:
        branch.append(tip)
        tip = parents[tip]
    return branch[::-1]
