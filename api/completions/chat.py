"""Chat completions: an answer as a whole, or as the chunks of a stream."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from api.completions.choices import Alternative, Head, collected, usage
from api.schemas.chat import ChatRequest
from chat.completions.streaming import CompletionSpec, stream_completions
from chat.engines.engine import Token, TokenProbability
from chat.models import Policy

PREFIX = "chatcmpl"
BROKEN = "\ufffd"
WHOLE, CHUNK = "chat.completion", "chat.completion.chunk"
Json = dict[str, Any]


async def whole(asked: ChatRequest, question: CompletionSpec) -> Json:
    """Raises ChatError."""
    head = Head.new(PREFIX, WHOLE, asked.model)
    async with stream_completions(question) as answer:
        alternatives = await collected(answer.pieces, asked.n)
        choices = [_choice(asked, index, alternative) for index, alternative in enumerate(alternatives)]
        counted = usage(alternatives[0].prompt_tokens, sum(each.completion_tokens for each in alternatives))
        return head.over(answer.policy, choices, usage=counted)


def _choice(asked: ChatRequest, index: int, alternative: Alternative) -> Json:
    return {
        "index": index,
        "message": {"role": "assistant", "content": alternative.text, "refusal": None},
        "logprobs": logprobs(alternative.tokens, asked.top_logprobs or 0) if asked.logprobs else None,
        "finish_reason": alternative.finish_reason,
    }


async def chunks(asked: ChatRequest, question: CompletionSpec) -> AsyncGenerator[Json, None]:
    """For each choice: its role, its text in pieces, its end. Raises ChatError."""
    head = Head.new(PREFIX, CHUNK, asked.model)
    no_usage = {"usage": None} if asked.tells_usage else {}
    begun: set[int] = set()
    prompt_tokens = completion_tokens = 0
    async with stream_completions(question) as answer, aclosing(answer.pieces) as pieces:
        policy = answer.policy

        def chunk(index: int, delta: Json, finish_reason: str | None = None, tokens: Sequence[Token] = ()) -> Json:
            told = logprobs(tokens, asked.top_logprobs or 0) if asked.logprobs and tokens else None
            choice = {"index": index, "delta": delta, "logprobs": told, "finish_reason": finish_reason}
            return head.over(policy, [choice], **no_usage)

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
        if asked.tells_usage:
            yield _last(head, policy, prompt_tokens, completion_tokens)


def _last(head: Head, policy: Policy, prompt_tokens: int, completion_tokens: int) -> Json:
    return head.over(policy, [], usage=usage(prompt_tokens, completion_tokens))


def logprobs(tokens: Sequence[Token], top: int) -> Json:
    content = [{**_told(token), "top_logprobs": [_told(choice) for choice in token.top[:top]]} for token in tokens]
    return {"content": content, "refusal": None}


def _told(choice: TokenProbability) -> Json:
    """A token that is a part of a character has bytes which nobody tells: only what stands for it is known."""
    spelled = None if BROKEN in choice.text else list(choice.text.encode("utf-8", "surrogatepass"))
    return {"token": choice.text, "logprob": choice.logprob, "bytes": spelled}
