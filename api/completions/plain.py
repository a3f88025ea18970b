"""Plain completions, the API of 2023: an answer as a whole, or as the chunks of a stream."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings

from api.completions.choices import Alternative, First, Head, usage
from api.completions.merging import merged
from api.completions.prompts import Asker
from api.schemas.completions import CompletionRequest
from chat.completions.streaming import meter_prompt, stream_completions
from chat.engines.engine import Token
from chat.models import Policy

PREFIX, OBJECT = "cmpl", "text_completion"
AT_ONCE = 4
"""Prompts of one request that are worked on at the same time."""
Json = dict[str, Any]
Prompt = str | list[int]


@dataclass(frozen=True)
class Part:
    """What is new of one choice: text, with its tokens where their probabilities are told."""

    index: int
    policy: Policy
    text: str = ""
    tokens: tuple[Token | First, ...] = ()
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """These two are parts of sums: over all parts they are what was used."""


async def whole(asked: CompletionRequest, asker: Asker) -> Json:
    """Raises ChatError."""
    head = Head.new(PREFIX, OBJECT, asker.named.name)
    choices: list[list[Part]] = [[] for _ in range(len(asked.prompts) * asked.n)]
    async with aclosing(_parts(asked, asker)) as made:
        every = [part async for part in made]
    for part in every:
        choices[part.index].append(part)
    shown = [_choice(asked, index, choice) for index, choice in enumerate(choices)]
    return head.over(every[-1].policy, shown, usage=_used(every))


def _choice(asked: CompletionRequest, index: int, made: Sequence[Part]) -> Json:
    tokens = [token for part in made for token in part.tokens]
    return {
        "text": "".join(part.text for part in made),
        "index": index,
        "logprobs": None if asked.logprobs is None else logprobs(tokens, asked.logprobs),
        "finish_reason": next(part.finish_reason for part in reversed(made) if part.finish_reason),
    }


def _used(every: Sequence[Part]) -> dict[str, int]:
    return usage(sum(part.prompt_tokens for part in every), sum(part.completion_tokens for part in every))


async def chunks(asked: CompletionRequest, asker: Asker) -> AsyncGenerator[Json, None]:
    """Raises ChatError."""
    head = Head.new(PREFIX, OBJECT, asker.named.name)
    no_usage = {"usage": None} if asked.tells_usage else {}
    lengths = [0] * (len(asked.prompts) * asked.n)
    every: list[Part] = []
    async with aclosing(_parts(asked, asker)) as made:
        async for part in made:
            every.append(part)
            if part.text or part.tokens or part.finish_reason:
                yield head.over(part.policy, [_chunk(asked, part, lengths[part.index])], **no_usage)
                lengths[part.index] += len(part.text)
    if asked.tells_usage:
        yield head.over(every[-1].policy, [], usage=_used(every))


def _chunk(asked: CompletionRequest, part: Part, start: int) -> Json:
    told = None if asked.logprobs is None or not part.tokens else logprobs(part.tokens, asked.logprobs, start)
    return {"text": part.text, "index": part.index, "logprobs": told, "finish_reason": part.finish_reason or None}


async def _parts(asked: CompletionRequest, asker: Asker) -> AsyncGenerator[Part, None]:
    """Of all choices of all prompts: the choices of prompt number k are k * n, k * n + 1, ..."""
    streams = [_parts_of(asked, asker, prompt, k * asked.n) for k, prompt in enumerate(asked.prompts)]
    at_once = min(AT_ONCE, settings.API_CONCURRENCY)
    async with aclosing(merged(streams, at_once) if len(streams) > 1 else streams[0]) as every:
        async for part in every:
            yield part


async def _parts_of(asked: CompletionRequest, asker: Asker, prompt: Prompt, first: int) -> AsyncGenerator[Part, None]:
    make = _read if asked.max_tokens == 0 else _best if asked.made > asked.n else _all
    async with aclosing(make(asked, asker, prompt)) as every:
        async for part in every:
            yield replace(part, index=first + part.index)


async def _read(asked: CompletionRequest, asker: Asker, prompt: Prompt) -> AsyncGenerator[Part, None]:
    """Only the prompt comes back."""
    answer = await meter_prompt(asker.question(asked, prompt))
    text, tokens = await asker.echo(asked, prompt, answer)
    for index in range(asked.n):
        yield Part(index, answer.policy, text, tokens, "length")
    yield Part(0, answer.policy, prompt_tokens=answer.prompt_tokens)


async def _all(asked: CompletionRequest, asker: Asker, prompt: Prompt) -> AsyncGenerator[Part, None]:
    """Every choice as it is written."""
    begun: set[int] = set()
    prompt_tokens = 0
    async with stream_completions(asker.question(asked, prompt)) as answer, aclosing(answer.pieces) as pieces:
        text, tokens = await asker.echo(asked, prompt, answer)
        async for piece in pieces:
            if asked.echo and piece.index not in begun:
                begun.add(piece.index)
                yield Part(piece.index, answer.policy, text, tokens)
            counted = piece.completion_tokens if piece.finish_reason else 0
            prompt_tokens = piece.prompt_tokens if piece.finish_reason else prompt_tokens
            told = (piece.tokens, piece.finish_reason)
            yield Part(piece.index, answer.policy, piece.text, *told, completion_tokens=counted)
        yield Part(0, answer.policy, prompt_tokens=prompt_tokens)


async def _best(asked: CompletionRequest, asker: Asker, prompt: Prompt) -> AsyncGenerator[Part, None]:
    """The most probable of those that were made, when all of them are."""
    made = [Alternative() for _ in range(asked.made)]
    async with stream_completions(asker.question(asked, prompt)) as answer, aclosing(answer.pieces) as pieces:
        text, tokens = await asker.echo(asked, prompt, answer)
        async for piece in pieces:
            made[piece.index].take(piece)
        counted = sum(each.completion_tokens for each in made)
        yield Part(0, answer.policy, prompt_tokens=made[0].prompt_tokens, completion_tokens=counted)
    ranked = sorted(made, key=lambda each: each.mean_logprob, reverse=True)[: asked.n]
    for index, each in enumerate(ranked):
        yield Part(index, answer.policy, text + each.text, (*tokens, *each.tokens), each.finish_reason)


def logprobs(tokens: Sequence[Token | First], top: int, start: int = 0) -> Json:
    """Four lists of equal length. Nobody knows how probable the first token of a document is."""
    offsets = [start]
    for token in tokens:
        offsets.append(offsets[-1] + len(token.text))
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [None if isinstance(token, First) else token.logprob for token in tokens],
        "top_logprobs": [_top(token, top) for token in tokens] if top else None,
        "text_offset": offsets[:-1],
    }


def _top(token: Token | First, top: int) -> dict[str, float] | None:
    """The most probable ones, and the one that stands there whether it is among them or not."""
    if isinstance(token, First):
        return None
    best = {choice.text: choice.logprob for choice in reversed(token.top[:top])}
    return {**best, token.text: token.logprob}
