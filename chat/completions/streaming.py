"""Streams completions to programs, through the same queue, engines, guards, limits and budgets as the page's replies.

The process that took the request reads the completion from the engine itself; a ticket (chat.queue.tickets) is its
place in the queue. Whatever ends the stream, also a client that goes away, ends the ticket and records its usage.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from channels.db import database_sync_to_async
from django.conf import settings

from accounts.models import ApiKey, User
from chat import guards, policies, site_choices
from chat.completions import raw_prompts
from chat.completions.batches import stream_batch
from chat.completions.guarded import GuardedCompletion
from chat.completions.raw_prompts import spelled
from chat.completions.token_texts import TokenAligner
from chat.engines.engine import Engine, Parameters, Piece
from chat.engines.loading import attached
from chat.errors import ChatError, EngineDown, EngineError, PolicyRetired
from chat.inspection.scoring import score
from chat.models import Conversation, Policy, Ticket
from chat.prompts.fitting import PolicyPrompt
from chat.prompts.history import renderer_of
from chat.prompts.preamble import with_system_prompt
from chat.prompts.rendering import Turn
from chat.queue import limits, people, tickets, usage
from chat.queue.ticket_poller import PendingTicket, TicketPoller
from chat.queue.tickets import Used

__all__ = ["CompletionSpec", "CompletionStream", "meter_prompt", "score", "spelled", "stream_completions"]


@dataclass(frozen=True)
class CompletionSpec:
    """What a program asks for: completions of `turns`, of a raw `text`, or of token `ids`."""

    person: User
    key: ApiKey | None
    policy: Policy | None
    """None: whichever is live when its ticket is granted."""
    parameters: Parameters
    turns: Sequence[Turn] | None = None
    text: str | None = None
    ids: Sequence[int] | None = None
    n: int = 1
    names: Sequence[str] = ()
    """Names by which the model was asked for; a price may be set for any of them."""
    shrinks: bool = False
    """The request names no length, so the completion may be cut to what the context has left."""
    is_batch: bool = False
    """One of many completions, whose result somebody reads later: it gives way to people, and to single requests,
    which may have a person at their other end."""
    is_read: bool = True
    """Somebody gets the pieces as they come. Of a batch without a reader what is unfinished is dropped for a person,
    and generated again later."""


@dataclass(frozen=True)
class CompletionStream:
    policy: Policy
    prompt: PolicyPrompt
    pieces: AsyncGenerator[Piece, None]
    """Of all completions, each with its `index`; the last of each has its finish reason, which may also be
    `content_filter`, and the token counts. Raises ChatError."""

    @property
    def prompt_tokens(self) -> int:
        return self.prompt.tokens

    @property
    def ids(self) -> list[int]:
        """Of the prompt; empty where the tokenizer is elsewhere."""
        return self.prompt.ids or []


@dataclass(frozen=True)
class _EngineRequest:
    """What the engine is asked for an admitted request."""

    policy: Policy
    prompt: PolicyPrompt
    parameters: Parameters


@asynccontextmanager
async def stream_completions(spec: CompletionSpec) -> AsyncIterator[CompletionStream]:
    """Waits until an engine has room, then streams the completions as they are generated.

    Raises a ChatError: before it waits, for what is wrong with the request; later, for what went wrong with it.
    """
    request = await database_sync_to_async(_admit)(spec)
    ticket, pending = uuid4(), None
    engine: Engine | None = None
    error = ""
    try:
        await database_sync_to_async(_queue)(ticket, spec)
        pending = TicketPoller.of_running_loop().add(ticket)
        granted = await pending.granted
        request, engine = await database_sync_to_async(_begin)(granted, request, spec)
        async with aclosing(_read(engine, request, spec, pending)) as pieces:
            yield CompletionStream(request.policy, request.prompt, pieces)
    except ChatError as failure:
        error = failure.code
        raise
    finally:
        if pending is not None:
            TicketPoller.of_running_loop().remove(pending)
        if engine is not None:
            await engine.stop()
        used = pending.used if pending is not None else Used()
        await database_sync_to_async(tickets.end)(ticket, used, names=spec.names, error=error)


async def meter_prompt(spec: CompletionSpec) -> CompletionStream:
    """For a request of no completion tokens: admitted and metered like any other, without waiting for an engine."""
    request = await database_sync_to_async(_admit)(spec)
    await database_sync_to_async(_record_prompt)(request, spec)
    return CompletionStream(request.policy, request.prompt, _no_pieces())


# --- before it waits ----------------------------------------------------------------------------------------------


def _admit(spec: CompletionSpec) -> _EngineRequest:
    person, key = spec.person.pk, spec.key.pk if spec.key else None
    limits.check_budget(person, key)
    policy = spec.policy or policies.live()
    if policy.retired_at is not None:
        raise PolicyRetired(policy.name)
    request = _engine_request(policy, spec)
    for text in _texts_of_people(spec, request.prompt):
        if text.strip():
            guards.check_message(text, Conversation(owner=spec.person, may_train=False))
    return request


def _texts_of_people(spec: CompletionSpec, prompt: PolicyPrompt) -> list[str]:
    if prompt.text is not None:
        return [prompt.text]
    return [turn["content"] for turn in spec.turns or () if turn["role"] == "user"]


def _engine_request(policy: Policy, spec: CompletionSpec) -> _EngineRequest:
    """Raises ContextExceeded, TurnsRefused, UnknownTokens, BadPolicy."""
    if spec.turns is not None:
        turns = with_system_prompt(spec.turns, site_choices.system_prompt_for(policy))
        prompt = raw_prompts.conversation(policy, turns)
    elif spec.ids is not None:
        prompt = raw_prompts.token_ids(policy, spec.ids)
    else:
        prompt = raw_prompts.text(policy, spec.text or "")
    parameters = raw_prompts.within_context(policy, prompt, spec.parameters, shrinks=spec.shrinks)
    return _EngineRequest(policy, prompt, parameters)


def _queue(ticket: UUID, spec: CompletionSpec) -> None:
    key = spec.key.pk if spec.key else None
    slots = min(spec.n, people.most_bulk() if spec.is_batch else settings.CHAT_ENGINE_SLOTS)
    tickets.queue(ticket, spec.person.pk, key, spec.policy, slots, is_batch=spec.is_batch)


def _record_prompt(request: _EngineRequest, spec: CompletionSpec) -> None:
    key = spec.key.pk if spec.key else None
    ref, tokens = f"reading:{uuid4()}", request.prompt.tokens
    usage.record_request(ref, spec.person.pk, key, request.policy, spec.names, tokens)


async def _no_pieces() -> AsyncGenerator[Piece, None]:
    return
    yield  # makes a generator of it


# --- once its ticket is granted ------------------------------------------------------------------------------------


def _begin(granted: Ticket, request: _EngineRequest, spec: CompletionSpec) -> tuple[_EngineRequest, Engine]:
    """The request for the granted policy, which may have gone live meanwhile, and the granted engine."""
    assert granted.policy is not None
    if granted.policy != request.policy:
        request = _engine_request(granted.policy, spec)
    engine = attached(request.policy, granted.engine_id)
    if engine is None:
        raise EngineDown("the engine went away before it was asked")
    return request, engine


async def _read(
    engine: Engine, request: _EngineRequest, spec: CompletionSpec, pending: PendingTicket
) -> AsyncGenerator[Piece, None]:
    """The engine's pieces after the guards; `pending.used` is kept up to date."""
    conversation = Conversation(owner=spec.person, may_train=False)

    async def check(text: str) -> None:
        await guards.in_time(database_sync_to_async(guards.check_reply, thread_sensitive=False)(text, conversation))

    completions = [GuardedCompletion(check) for _ in range(spec.n)]
    aligners = _aligners(request, spec.n)
    pending.used = Used(request.prompt.tokens)
    try:
        async with aclosing(_stream(engine, request, spec)) as pieces:
            async for piece in pieces:
                if pending.is_lost:
                    raise EngineDown("the ticket's lease was not renewed in time")
                if piece.prompt_tokens and request.prompt.ids is None:  # a server elsewhere has counted them
                    request = replace(request, prompt=replace(request.prompt, tokens=piece.prompt_tokens))
                completion = completions[piece.index]
                for ready in await completion.take(piece):
                    pending.used = Used(request.prompt.tokens, sum(one.pieces for one in completions))
                    given = completion.give(ready)
                    aligned = aligners[piece.index].take(given) if aligners else given
                    yield _counted(aligned, completion, request)
                if all(one.finish_reason for one in completions):
                    break
    except EngineError:
        if not any(one.text for one in completions):
            request = replace(request, prompt=replace(request.prompt, tokens=0))  # no text, no charge
        raise
    finally:
        pending.used = Used(request.prompt.tokens, sum(_tokens(completion, request) for completion in completions))


def _aligners(request: _EngineRequest, n: int) -> list[TokenAligner]:
    """One for each completion; none where the request wants no log-probabilities."""
    if request.parameters.top_logprobs is None:
        return []
    renderer = renderer_of(request.policy)
    return [TokenAligner(renderer, list(request.prompt.ids or ())) for _ in range(n)]


def _stream(engine: Engine, request: _EngineRequest, spec: CompletionSpec) -> AsyncGenerator[Piece, None]:
    if spec.is_batch:
        return stream_batch(engine, request.prompt, request.parameters, spec.n, is_read=spec.is_read)
    if spec.n == 1:
        return engine.stream(request.prompt, request.parameters)
    return engine.stream_many(request.prompt, request.parameters, spec.n)


def _counted(piece: Piece, completion: GuardedCompletion, request: _EngineRequest) -> Piece:
    """The last piece with the counts that are metered."""
    if not piece.finish_reason:
        return piece
    return replace(piece, prompt_tokens=request.prompt.tokens, completion_tokens=_tokens(completion, request))


def _tokens(completion: GuardedCompletion, request: _EngineRequest) -> int:
    """Of what the reader was given."""
    text, reason, counted = completion.text, completion.finish_reason, completion.engine_tokens
    return usage.completion_tokens(request.policy, text, reason, counted)
