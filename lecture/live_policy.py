"""The next word by the policy that answers people, and the probability that it gives to the whole prompt."""

import math
from dataclasses import dataclass

from asgiref.sync import sync_to_async

from accounts.models import User
from chat import policies
from chat.engines.engine import Token
from chat.errors import NoProbabilities
from chat.inspection import scoring
from chat.models import Policy
from chat.prompts.history import renderer_of
from lecture.next_word import MOST_TOKENS, SHOWN, Guess


@dataclass(frozen=True)
class PolicyColumn:
    policy: Policy
    guesses: list[Guess]
    log10: float
    tokens: list[tuple[str, float | None]]
    """The prompt's tokens with the probability of each after those before it; None of the first."""


async def column(person: User, text: str) -> PolicyColumn:
    """Raises ChatError."""
    policy, ids, texts, marks = await sync_to_async(_prompt)(text)
    # The distribution after the last token is told at the place of another one behind it, whichever that is.
    told = await scoring.score(person, policy, [*ids, ids[-1]], SHOWN)
    read = told[max(0, marks - 1) : -1]
    unread: list[float | None] = [None] * (len(ids) - marks - len(read))
    probabilities = [*unread, *(math.exp(token.logprob) for token in read)]
    return PolicyColumn(
        policy=policy,
        guesses=_guesses(told[-1], text),
        log10=sum(token.logprob for token in read) / math.log(10),
        tokens=list(zip(texts[marks:], probabilities, strict=True)),
    )


def _prompt(text: str) -> tuple[Policy, list[int], list[str], int]:
    """The live policy, the ids of the prompt's end, their texts, and how many of them only begin a document."""
    policy = policies.live()
    renderer = renderer_of(policy)
    if renderer is None:
        raise NoProbabilities(policy.name)
    spelled, marks = renderer.document(text), len(renderer.start)
    cut = [*spelled[:marks], *spelled[marks:][-MOST_TOKENS:]]
    if not cut:
        raise NoProbabilities(policy.name)
    return policy, [number for number, _ in cut], [piece for _, piece in cut], marks


def _guesses(token: Token, text: str) -> list[Guess]:
    return [
        Guess(other.text.replace("\n", "⏎").replace(" ", "␣"), math.exp(other.logprob), text + other.text)
        for other in token.top[:SHOWN]
    ]
