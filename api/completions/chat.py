"""Answers a chat completion request with one object, or with the chunks of a stream."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from api.completions.choices import CollectedChoice, Envelope, collect, usage
from api.schemas.chat import ChatRequest
from chat.completions.streaming import CompletionSpec, stream_completions
from chat.engines.engine import Token, TokenProbability
from chat.models import Policy

PREFIX = "chatcmpl"
BROKEN = "\ufffd"
WHOLE, CHUNK = "chat.completion", "chat.completion.chunk"
Json = dict[str, Any]


async def complete(request: ChatRequest, question: CompletionSpec) -> Json:
    """The whole answer. Raises ChatError."""
    envelope = Envelope.new(PREFIX, WHOLE, request.model)
    async with stream_completions(question) as answer:
        collected = await collect(answer.pieces, request.n)
        choices = [_choice(request, index, choice) for index, choice in enumerate(collected)]
        tokens = usage(collected[0].prompt_tokens, sum(choice.completion_tokens for choice in collected))
        return envelope.wrap(answer.policy, choices, usage=tokens)


def _choice(request: ChatRequest, index: int, choice: CollectedChoice) -> Json:
    return {
        "index": index,
        "message": {"role": "assistant", "content": choice.text, "refusal": None},
        "logprobs": logprobs(choice.tokens, request.top_logprobs or 0) if request.logprobs else None,
        "finish_reason": choice.finish_reason,
    }


async def chunks(request: ChatRequest, question: CompletionSpec) -> AsyncGenerator[Json, None]:
    """For each choice its role, its text in pieces, and its end. Raises ChatError."""
    envelope = Envelope.new(PREFIX, CHUNK, request.model)
    no_usage = {"usage": None} if request.includes_usage else {}
    begun: set[int] = set()
    prompt_tokens = completion_tokens = 0
    async with stream_completions(question) as answer, aclosing(answer.pieces) as pieces:
        policy = answer.policy

        def chunk(index: int, delta: Json, finish_reason: str | None = None, tokens: Sequence[Token] = ()) -> Json:
            probabilities = logprobs(tokens, request.top_logprobs or 0) if request.logprobs and tokens else None
            choice = {"index": index, "delta": delta, "logprobs": probabilities, "finish_reason": finish_reason}
            return envelope.wrap(policy, [choice], **no_usage)

        async for piece in pieces:
            if piece.index not in begun:
                begun.add(piece.index)
                yield chunk(piece.index, {"role": "assistant", "content": ""})
            if piece.text or piece.tokens:
                yield chunk(piece.index, {"content": piece.text}, tokens=piece.tokens)
            if piece.finish_reason:
                prompt_tokens = piece.prompt_tokens
                completion_tokens += piece.completion_tokens
                yield chunk(piece.index, {}, piece.finish_reason)
        if request.includes_usage:
            yield _usage_chunk(envelope, policy, prompt_tokens, completion_tokens)


def _usage_chunk(envelope: Envelope, policy: Policy, prompt_tokens: int, completion_tokens: int) -> Json:
    return envelope.wrap(policy, [], usage=usage(prompt_tokens, completion_tokens))


def logprobs(tokens: Sequence[Token], top: int) -> Json:
    content = [
        {**_token_shown(token), "top_logprobs": [_token_shown(choice) for choice in token.top[:top]]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def _token_shown(choice: TokenProbability) -> Json:
    """The bytes of a token that is only a part of a character are unknown: its text is a replacement character."""
    encoded = None if BROKEN in choice.text else list(choice.text.encode("utf-8", "surrogatepass"))
    return {"token": choice.text, "logprob": choice.logprob, "bytes": encoded}
