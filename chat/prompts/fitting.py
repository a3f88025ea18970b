"""A conversation as the prompt of a policy, cut to the context by the rule of `base.trimming`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from base.trimming import DoesNotFit, head_of, reserve, trim
from chat.errors import PreambleTooLong, TooLong
from chat.prompts.rendering import Renderer, Turn

CHARACTERS_A_TOKEN = 3
"""A cautious guess of a prompt's length where the policy's directory holds no tokenizer."""


@dataclass(frozen=True)
class PolicyPrompt:
    messages: list[Turn]
    ids: list[int] | None
    """None where the policy has no tokenizer here: an engine elsewhere tokenises the messages."""
    tokens: int
    dropped: int = 0
    """Messages that were left out, oldest first, to fit the context."""
    prefix: str = ""
    """Text that the reply begins with; the end of `ids`."""
    thinking: bool | None = None
    """Whether the template is to begin with reasoning; None where it is not asked."""
    text: str | None = None
    """Of a raw prompt: what is to be continued as it stands, without roles and template; `messages` is empty then."""


def fit(
    messages: Sequence[Turn],
    renderer: Renderer | None,
    *,
    context_tokens: int,
    completion_tokens: int,
    kept: int = 0,
    prefix: str = "",
) -> PolicyPrompt:
    """The prompt within the context, by the rule of `base.trimming`, after the completion has reserved its tokens.

    Raises TooLong if what must stay does not fit, PreambleTooLong if that is so whatever the last message says.
    `prefix`, what the reply begins with, stays too.
    """
    begun = renderer.continuation(prefix) if renderer else []

    def encode(turns: list[Turn]) -> PolicyPrompt:
        ids = renderer.ids(turns) + begun if renderer else None
        tokens = len(ids) if ids is not None else _guess_tokens(turns) + len(prefix) // CHARACTERS_A_TOKEN
        if renderer is None:
            return PolicyPrompt(turns, ids, tokens, prefix=prefix)
        return PolicyPrompt(renderer.as_taken(turns), ids, tokens, prefix=prefix, thinking=renderer.thinking)

    room = context_tokens - reserve(completion_tokens, context_tokens)
    try:
        found = trim(messages, encode, lambda prompt: prompt.tokens, room=room, kept=kept)
    except DoesNotFit as error:
        head = head_of(messages, kept)
        unsaid = [*head, Turn(role="user", content="")]
        kind = PreambleTooLong if head and count(unsaid, renderer) >= room else TooLong
        raise kind(str(error)) from error
    return replace(found.encoded, dropped=found.dropped)


def count(messages: Sequence[Turn], renderer: Renderer | None) -> int:
    """Tokens of the messages as a prompt; a guess without a renderer."""
    return len(renderer.ids(messages)) if renderer else _guess_tokens(messages)


def _guess_tokens(messages: Sequence[Turn]) -> int:
    return sum(len(turn["content"]) // CHARACTERS_A_TOKEN + 8 for turn in messages)
