"""The one rule by which a long conversation is cut to a number of tokens, served or trained on.

How the numbers relate: a policy has a context (CHAMSAE_CONTEXT_TOKENS, less where the model has less), of which the
completion reserves its tokens (CHAMSAE_MAX_COMPLETION_TOKENS, an assistant's own, CHAMSAE_COMPLETION_TOKENS for
ranking tasks) and a served prompt gets the rest. A snapshot holds the turns that were served. The reward model and
the evaluation read prompts of up to the whole context (`max_prompt_tokens`), whatever was reserved: nothing that was
served is cut again there, and its ids are those that the policy saw. Training a policy holds many prompts in memory
at once and has a smaller `max_prompt_tokens`; what is longer is cut to that by this rule, or left out and counted
where it cannot be. Training runs without Django, so nothing of it is imported here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Turn = TypeVar("Turn", bound=Mapping[str, object])
Encoded = TypeVar("Encoded")


@dataclass
class DoesNotFit(Exception):
    """What must stay of a conversation is longer than its room."""

    tokens: int
    room: int

    def __str__(self) -> str:
        return f"{self.tokens} tokens, room for {self.room}"


@dataclass(frozen=True)
class Trimmed(Generic[Turn, Encoded]):
    turns: list[Turn]
    encoded: Encoded
    dropped: int
    """Turns that were left out, oldest first."""


def trim(
    turns: Sequence[Turn],
    encode: Callable[[list[Turn]], Encoded],
    size: Callable[[Encoded], int],
    *,
    room: int,
    kept: int = 0,
) -> Trimmed[Turn, Encoded]:
    """The turns in at most `room` tokens.

    A system message at the start, the first `kept` turns (instructions and examples) and the last turn always stay
    whole; of the rest the oldest go first, a question together with its answer, and no more than needed. Raises
    DoesNotFit.
    """
    head = head_of(turns, kept)
    rest = list(turns[len(head) :])

    def from_turn(start: int) -> Trimmed[Turn, Encoded]:
        left = head + rest[start:]
        return Trimmed(left, encode(left), dropped=start)

    def fits(trimmed: Trimmed[Turn, Encoded]) -> bool:
        return size(trimmed.encoded) <= room

    if fits(whole := from_turn(0)):
        return whole
    starts = [index for index, turn in enumerate(rest) if turn["role"] == "user"] or [max(0, len(rest) - 1)]
    best = from_turn(starts[-1])
    if not fits(best):
        raise DoesNotFit(size(best.encoded), room)
    low, high = 0, len(starts) - 1
    while low < high:  # more turns, more tokens: the first start that fits
        middle = (low + high) // 2
        if fits(tried := from_turn(starts[middle])):
            best, high = tried, middle
        else:
            low = middle + 1
    return best


def head_of(turns: Sequence[Turn], kept: int = 0) -> list[Turn]:
    """What stands at the start and always stays."""
    has_system = bool(turns) and turns[0]["role"] == "system"
    return list(turns[: max(kept, int(has_system))])


def reserve(completion_tokens: int, context_tokens: int) -> int:
    """Tokens of the context that are kept for the completion: at most half of it."""
    return min(completion_tokens, context_tokens // 2)
