"""Answers a plain completion request with one object, or with the chunks of a stream."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings

from api.completions.choices import CollectedChoice, Envelope, UnscoredToken, usage
from api.completions.merging import merge
from api.completions.prompts import Requester
from api.schemas.completions import CompletionRequest
from chat.completions.streaming import meter_prompt, stream_completions
from chat.engines.engine import Token
from chat.models import Policy

PREFIX, OBJECT = "cmpl", "text_completion"
AT_ONCE = 4
"""Prompts of one request that are completed at the same time."""
Json = dict[str, Any]
Prompt = str | list[int]


@dataclass(frozen=True)
class ChoiceDelta:
    """What is new in one choice: text, with its tokens where log-probabilities are requested."""

    index: int
    policy: Policy
    text: str = ""
    tokens: tuple[Token | UnscoredToken, ...] = ()
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Of both token counts, the sum over all deltas is the usage."""


async def complete(request: CompletionRequest, requester: Requester) -> Json:
    """The whole answer. Raises ChatError."""
    envelope = Envelope.new(PREFIX, OBJECT, requester.model.name)
    choices: list[list[ChoiceDelta]] = [[] for _ in range(len(request.prompts) * request.n)]
    async with aclosing(_deltas(request, requester)) as stream:
        deltas = [delta async for delta in stream]
    for delta in deltas:
        choices[delta.index].append(delta)
    shown = [_choice(request, index, choice) for index, choice in enumerate(choices)]
    return envelope.wrap(deltas[-1].policy, shown, usage=_usage(deltas))


def _choice(request: CompletionRequest, index: int, deltas: Sequence[ChoiceDelta]) -> Json:
    tokens = [token for delta in deltas for token in delta.tokens]
    return {
        "text": "".join(delta.text for delta in deltas),
        "index": index,
        "logprobs": None if request.logprobs is None else logprobs(tokens, request.logprobs),
        "finish_reason": next(delta.finish_reason for delta in reversed(deltas) if delta.finish_reason),
    }


def _usage(deltas: Sequence[ChoiceDelta]) -> dict[str, int]:
    return usage(sum(delta.prompt_tokens for delta in deltas), sum(delta.completion_tokens for delta in deltas))


async def chunks(request: CompletionRequest, requester: Requester) -> AsyncGenerator[Json, None]:
    """Raises ChatError."""
    envelope = Envelope.new(PREFIX, OBJECT, requester.model.name)
    no_usage = {"usage": None} if request.includes_usage else {}
    lengths = [0] * (len(request.prompts) * request.n)
    deltas: list[ChoiceDelta] = []
    async with aclosing(_deltas(request, requester)) as stream:
        async for delta in stream:
            deltas.append(delta)
            if delta.text or delta.tokens or delta.finish_reason:
                yield envelope.wrap(delta.policy, [_chunk(request, delta, lengths[delta.index])], **no_usage)
                lengths[delta.index] += len(delta.text)
    if request.includes_usage:
        yield envelope.wrap(deltas[-1].policy, [], usage=_usage(deltas))


def _chunk(request: CompletionRequest, delta: ChoiceDelta, start: int) -> Json:
    reported = request.logprobs is not None and bool(delta.tokens)
    return {
        "text": delta.text,
        "index": delta.index,
        "logprobs": logprobs(delta.tokens, request.logprobs or 0, start) if reported else None,
        "finish_reason": delta.finish_reason or None,
    }


async def _deltas(request: CompletionRequest, requester: Requester) -> AsyncGenerator[ChoiceDelta, None]:
    """The deltas of all choices of all prompts: the choices of prompt number k are k * n, k * n + 1, ..."""
    streams = [_deltas_of(request, requester, prompt, k * request.n) for k, prompt in enumerate(request.prompts)]
    at_once = min(AT_ONCE, settings.API_CONCURRENCY)
    async with aclosing(merge(streams, at_once) if len(streams) > 1 else streams[0]) as deltas:
        async for delta in deltas:
            yield delta


async def _deltas_of(
    request: CompletionRequest, requester: Requester, prompt: Prompt, first: int
) -> AsyncGenerator[ChoiceDelta, None]:
    generate = _echo_only if request.max_tokens == 0 else _best if request.generated > request.n else _all
    async with aclosing(generate(request, requester, prompt)) as deltas:
        async for delta in deltas:
            yield replace(delta, index=first + delta.index)


async def _echo_only(
    request: CompletionRequest, requester: Requester, prompt: Prompt
) -> AsyncGenerator[ChoiceDelta, None]:
    """Only the prompt, for `max_tokens` 0."""
    answer = await meter_prompt(requester.question(request, prompt))
    text, tokens = await requester.echo(request, prompt, answer)
    for index in range(request.n):
        yield ChoiceDelta(index, answer.policy, text, tokens, "length")
    yield ChoiceDelta(0, answer.policy, prompt_tokens=answer.prompt_tokens)


async def _all(request: CompletionRequest, requester: Requester, prompt: Prompt) -> AsyncGenerator[ChoiceDelta, None]:
    """Every choice as it is generated."""
    begun: set[int] = set()
    prompt_tokens = 0
    async with stream_completions(requester.question(request, prompt)) as answer, aclosing(answer.pieces) as pieces:
        text, tokens = await requester.echo(request, prompt, answer)
        async for piece in pieces:
            if request.echo and piece.index not in begun:
                begun.add(piece.index)
                yield ChoiceDelta(piece.index, answer.policy, text, tokens)
            counted = piece.completion_tokens if piece.finish_reason else 0
            prompt_tokens = piece.prompt_tokens if piece.finish_reason else prompt_tokens
            known = (piece.text, piece.tokens, piece.finish_reason)
            yield ChoiceDelta(piece.index, answer.policy, *known, completion_tokens=counted)
        yield ChoiceDelta(0, answer.policy, prompt_tokens=prompt_tokens)


async def _best(
    request: CompletionRequest, requester: Requester, prompt: Prompt
) -> AsyncGenerator[ChoiceDelta, None]:
    """The most probable choices, once all of them are complete."""
    generated = [CollectedChoice() for _ in range(request.generated)]
    async with stream_completions(requester.question(request, prompt)) as answer, aclosing(answer.pieces) as pieces:
        text, tokens = await requester.echo(request, prompt, answer)
        async for piece in pieces:
            generated[piece.index].add(piece)
        counted = sum(choice.completion_tokens for choice in generated)
        yield ChoiceDelta(0, answer.policy, prompt_tokens=generated[0].prompt_tokens, completion_tokens=counted)
    best = sorted(generated, key=lambda choice: choice.mean_logprob, reverse=True)[: request.n]
    for index, choice in enumerate(best):
        yield ChoiceDelta(index, answer.policy, text + choice.text, (*tokens, *choice.tokens), choice.finish_reason)


def logprobs(tokens: Sequence[Token | UnscoredToken], top: int, start: int = 0) -> Json:
    """Four lists of equal length."""
    offsets = [start]
    for token in tokens:
        offsets.append(offsets[-1] + len(token.text))
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [None if isinstance(token, UnscoredToken) else token.logprob for token in tokens],
        "top_logprobs": [_top(token, top) for token in tokens] if top else None,
        "text_offset": offsets[:-1],
    }


def _top(token: Token | UnscoredToken, top: int) -> dict[str, float] | None:
    """The most probable tokens, and the actual one whether it is among them or not."""
    if isinstance(token, UnscoredToken):
        return None
    best = {choice.text: choice.logprob for choice in reversed(token.top[:top])}
    return {**best, token.text: token.logprob}
