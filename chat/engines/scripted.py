"""An engine without a model, for tests and load: canned text at a set pace, and faults on demand."""

import asyncio
import hashlib
import json
import math
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from chat.engines.engine import Engine, Parameters, Piece, Token, TokenProbability
from chat.errors import EngineDown, EngineError
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt

WORDS = [
    *("the", "a", "sparrow", "river", "morning", "small", "window", "listens", "to", "and", "over", "of", "rain"),
    *("with", "patience", "people", "ask", "why", "clouds", "move", "slowly", "across", "every", "quiet", "field"),
    *("before", "evening", "comes", "home", "again", "while", "somebody", "writes", "short", "letters", "about"),
]


@dataclass
class Script:
    """What a scripted engine does. Tests replace `ScriptedEngine.script`; a policy may have its own, as JSON."""

    seconds_a_token: float = 0.05
    slow_word: str = ""
    """If set, only replies to a message with this word take time; others come at once."""
    tokens: int = 40
    text: str = ""
    """Sent word for word instead of the canned text."""
    texts: tuple[str, ...] = ()
    """One of these by the seed, instead of the canned text."""
    echoes: bool = False
    """Sends the last message back, word for word."""
    stamps: bool = False
    """Each token is the time at which it was sent, in microseconds since the epoch."""
    fail_after: int | None = None
    """Tokens after which it goes away."""
    hang_after: int | None = None
    """Tokens after which it sends nothing more."""
    is_down: bool = False
    error: EngineError | None = None
    """Raised instead of a completion."""
    start_seconds: float = 0.0


class ScriptedEngine(Engine):
    script: Script = Script()

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        if policy.source.startswith("{"):
            self.script = Script(**json.loads(policy.source))

    async def start(self, key: str) -> None:
        await asyncio.sleep(self.script.start_seconds)
        if self.script.is_down:
            raise EngineDown("scripted to be down")

    async def stream(self, prompt: PolicyPrompt, parameters: Parameters) -> AsyncGenerator[Piece, None]:
        script = self.script
        if script.error:
            raise script.error
        tokens = _until_stop(_tokens(script, prompt, parameters.seed or 0), parameters.stop)
        is_cut = len(tokens) > parameters.max_completion_tokens
        is_slow = script.slow_word in _last_message(prompt)
        for count, token in enumerate(tokens[: parameters.max_completion_tokens]):
            if script.fail_after == count or script.is_down:
                raise EngineDown("scripted to go away")
            if script.hang_after == count:
                await asyncio.Event().wait()
            await asyncio.sleep(script.seconds_a_token if is_slow else 0.0)
            if script.stamps:
                token = f" {time.time_ns() // 1000}"
            yield Piece(token, tokens=_probabilities(token, count, parameters.top_logprobs))
        count = min(len(tokens), parameters.max_completion_tokens)
        yield Piece("", "length" if is_cut else "stop", prompt.tokens, count)

    async def is_healthy(self) -> bool:
        return not self.script.is_down

    async def stop(self) -> None:
        pass


def _last_message(prompt: PolicyPrompt) -> str:
    """Or all of a raw prompt."""
    return prompt.messages[-1]["content"] if prompt.text is None else prompt.text


def _tokens(script: Script, prompt: PolicyPrompt, shift: int) -> list[str]:
    """Words with the space before them; the same prompt gets the same words, with another seed others. A raw prompt
    is continued."""
    text = _last_message(prompt) if script.echoes else script.text
    if script.texts:
        text = script.texts[shift % len(script.texts)]
    if text:
        words = text.split(" ")
    else:
        asked = repr(prompt.messages) if prompt.text is None else prompt.text
        seed = hashlib.sha256(asked.encode("utf-8", "replace")).digest()
        words = [WORDS[(seed[i % 32] + 7 * i + shift) % len(WORDS)] for i in range(script.tokens)]
    is_begun = prompt.text is not None
    return [" " + word if i or is_begun else word for i, word in enumerate(words)]


def _until_stop(tokens: list[str], stops: tuple[str, ...]) -> list[str]:
    """Up to the first of the stop strings, as a real engine does it."""
    text = "".join(tokens)
    end = min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))
    before = []
    for token in tokens:
        if end > 0:
            before.append(token[:end])
        end -= len(token)
    return before


def _probabilities(token: str, count: int, top: int | None) -> tuple[Token, ...]:
    """Made-up ones, from almost certain to unlikely in turn; the alternatives are other words."""
    if top is None:
        return ()
    probability = (0.97, 0.7, 0.45, 0.2, 0.05, 0.004)[count % 6]
    others = [f" {word}" for word in WORDS[count % 20 :] if f" {word}" != token]
    choices = [(token, probability)] + [(other, (1 - probability) / 2**k) for k, other in enumerate(others, start=1)]
    ranked = sorted(choices, key=lambda choice: -choice[1])[:top]
    return (
        Token(
            token, math.log(probability), top=tuple(TokenProbability(text, math.log(share)) for text, share in ranked)
        ),
    )
