"""Counts the tokens of a row: as many as training puts through the model in one epoch."""

from collections.abc import Callable, Iterable

from django.conf import settings

from chat import policies
from chat.models import Policy
from chat.prompts import rendering
from chat.prompts.fitting import CHARACTERS_A_TOKEN
from chat.prompts.rendering import Renderer, Turn
from fine_tuning.data.formats import MESSAGES, PROMPT_COMPLETION, Row

TokenCounter = Callable[[str, Row], int]
MAX_ROW_TOKENS = 1024
"""Training truncates longer rows, so they are refused before it."""
END = 1
"""The token that ends a completion."""


def counter(policy: Policy) -> TokenCounter:
    """Exact where the policy has a tokenizer, else an estimate by characters. Raises BadPolicy."""
    renderer = None if policy.is_scripted else rendering.renderer(policies.words(policy))
    return (lambda form, row: _exact(renderer, form, row)) if renderer is not None else _estimated


def _exact(renderer: Renderer, form: str, row: Row) -> int:
    if form == PROMPT_COMPLETION:
        return len(renderer.continuation(row["prompt"])) + len(renderer.continuation(row["completion"])) + END
    if form == MESSAGES:
        before, answer = _split_last_answer(row["messages"])
        return len(renderer.ids(_turns(before))) + len(renderer.continuation(answer)) + END
    prompt = row["prompt"]
    size = len(renderer.ids(_turns(prompt)) if isinstance(prompt, list) else renderer.continuation(prompt))
    return sum(size + len(renderer.continuation(row[side])) + END for side in ("chosen", "rejected"))


def _split_last_answer(messages: list[Row]) -> tuple[list[Row], str]:
    """The turns before the last answer, and that answer; without one, all turns and an empty answer."""
    last = max((place for place, turn in enumerate(messages) if turn["role"] == "assistant"), default=len(messages))
    return messages[:last], "".join(turn["content"] for turn in messages[last : last + 1])


def _estimated(form: str, row: Row) -> int:
    return sum(map(len, _texts(row))) // CHARACTERS_A_TOKEN + END


def _texts(row: Row) -> Iterable[str]:
    for value in row.values():
        if isinstance(value, str):
            yield value
        else:
            yield from (turn["content"] for turn in value)


def _turns(given: Iterable[Row]) -> list[Turn]:
    return [Turn(role=turn["role"], content=turn["content"]) for turn in given]


def max_row_tokens(policy: Policy) -> int:
    """Tokens that a row may have: what the policy reads at once in training. Raises BadPolicy."""
    if policy.is_scripted:
        return min(MAX_ROW_TOKENS, int(settings.CHAT_CONTEXT_TOKENS))
    return min(MAX_ROW_TOKENS, policies.context_tokens(policies.words(policy)))
