"""Beginnings of completions that were stopped: the token ids that a policy had generated, from which it goes on.

A completion that goes on from its own tokens is distributed as one that was never stopped, if the random numbers are
others. That needs the very tokens: the same text cut into others would have another continuation. Tokens of a
character that was not whole yet are generated again.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from chat.engines.engine import MAX_SEED, Engine, Parameters, Piece
from chat.prompts.fitting import PolicyPrompt
from chat.prompts.rendering import Renderer


@dataclass(frozen=True)
class Beginning:
    text: str = ""
    ids: tuple[int, ...] = ()
    seed: int = field(default_factory=lambda: secrets.randbelow(MAX_SEED))
    """For the rest, whenever it is generated from here: by the seed of the beginning, its tokens would be drawn with
    the same random numbers again."""

    def joined(self, more: "Beginning") -> "Beginning":
        return Beginning(self.text + more.text, self.ids + more.ids)

    def prompt(self, prompt: PolicyPrompt) -> PolicyPrompt:
        """The prompt with what was generated after it."""
        ids = [*(prompt.ids or []), *self.ids]
        return replace(prompt, ids=ids, tokens=prompt.tokens + len(self.ids), prefix=prompt.prefix + self.text)

    def parameters(self, parameters: Parameters) -> Parameters:
        """For the rest."""
        rest = parameters.max_completion_tokens - len(self.ids)
        return replace(parameters, max_completion_tokens=rest, seed=self.seed)


class Heard:
    """The pieces of one completion, as far as they have come."""

    def __init__(self) -> None:
        self.text = ""
        self._told: list[int | None] = []

    def take(self, piece: Piece) -> None:
        self.text += piece.text
        self._told += [token.id for token in piece.tokens]

    def beginning(self, renderer: Renderer, prompt: PolicyPrompt) -> Beginning | None:
        """None where nothing has come, or nobody knows of which tokens the text consists."""
        told = [number for number in self._told if number is not None]
        if not self.text or len(told) < len(self._told):
            return None
        ids = _exact(renderer, prompt.ids or [], told, self.text) or _completed(renderer, told, self.text)
        return Beginning(self.text, tuple(ids)) if ids else None


def can_go_on(engine: Engine, prompt: PolicyPrompt, parameters: Parameters) -> bool:
    """Whether the engine takes token ids, and nothing but them counts: stop strings and penalties look back."""
    looks_back = bool(parameters.stop or parameters.presence_penalty or parameters.frequency_penalty)
    return engine.is_embedded and prompt.ids is not None and not looks_back


def with_ids(parameters: Parameters) -> Parameters:
    """Engines tell the ids of tokens beside their probabilities."""
    return parameters if parameters.top_logprobs is not None else replace(parameters, top_logprobs=0)


def _exact(renderer: Renderer, before: Sequence[int], told: Sequence[int], text: str) -> list[int]:
    """The tokens up to the last that completes a character, if they add up to the text; else none."""
    context, texts = list(before), []
    for number in told:
        texts.append(renderer.added_by(number, context))
        context.append(number)
    whole = max((place for place, added in enumerate(texts, start=1) if added), default=0)
    return list(told[:whole]) if "".join(texts) == text else []


def _completed(renderer: Renderer, told: Sequence[int], text: str) -> list[int]:
    """llama.cpp leaves out the first tokens of a character: those of the text, if all others are what was told; else
    none."""
    spelled = renderer.spelled(text)
    return [number for number, _ in spelled] if [number for number, added in spelled if added] == told else []
