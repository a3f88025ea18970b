"""The rule by which a long conversation is cut to the context: what stays, and what goes first."""

from collections.abc import Sequence
from dataclasses import dataclass

from chat.errors import PreambleTooLong, TooLong
from chat.prompts.rendering import Renderer, Turn

CHARACTERS_A_TOKEN = 3
"""A cautious guess of a prompt's length where the policy's directory holds no tokenizer."""


@dataclass(frozen=True)
class Prompt:
    messages: list[Turn]
    ids: list[int] | None
    """None where the policy has no tokenizer here: an engine elsewhere tokenises the messages."""
    tokens: int
    dropped: int = 0
    """Messages that were left out, oldest first, to fit the context."""
    prefix: str = ""
    """Text that the reply begins with; the end of `ids`."""
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
) -> Prompt:
    """The prompt within the context, by this rule:

    the completion keeps its tokens, but at most half of the context; a system message at the start, the first `kept`
    messages (instructions and examples) and the last message always stay; of the rest the oldest go first, a question
    together with its answer. Raises TooLong if what must stay does not fit, PreambleTooLong if that is so whatever
    the last message says. `prefix`, what the reply begins with, stays too.
    """
    room = context_tokens - reserve(completion_tokens, context_tokens)
    head = list(messages[: max(kept, int(bool(messages) and messages[0]["role"] == "system"))])
    rest = list(messages[len(head) :])
    starts = [index for index, turn in enumerate(rest) if turn["role"] == "user"] or [len(rest) - 1]

    begun = renderer.continuation(prefix) if renderer else []

    def prompt(start: int) -> Prompt:
        turns = head + rest[start:]
        ids = renderer.ids(turns) + begun if renderer else None
        tokens = len(ids) if ids is not None else _guess_tokens(turns) + len(prefix) // CHARACTERS_A_TOKEN
        return Prompt(turns, ids, tokens, dropped=start, prefix=prefix)

    whole = prompt(0)
    if whole.tokens <= room:
        return whole
    low, high = 0, len(starts) - 1
    shortest = prompt(starts[high])
    if shortest.tokens > room:
        unsaid = [*head, Turn(role="user", content="")]
        kind = PreambleTooLong if head and count(unsaid, renderer) >= room else TooLong
        raise kind(f"{shortest.tokens} tokens, room for {room}")
    best = shortest
    while low < high:  # more turns, more tokens: the first start that fits
        middle = (low + high) // 2
        tried = prompt(starts[middle])
        if tried.tokens <= room:
            best, high = tried, middle
        else:
            low = middle + 1
    return best


def reserve(completion_tokens: int, context_tokens: int) -> int:
    """Tokens of the context that are kept for the completion."""
    return min(completion_tokens, context_tokens // 2)


def count(messages: Sequence[Turn], renderer: Renderer | None) -> int:
    """Tokens of the messages as a prompt; a guess without a renderer."""
    return len(renderer.ids(messages)) if renderer else _guess_tokens(messages)


def _guess_tokens(messages: Sequence[Turn]) -> int:
    return sum(len(turn["content"]) // CHARACTERS_A_TOKEN + 8 for turn in messages)
