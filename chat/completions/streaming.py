"""Completions for programs: a question waits in the same line as the replies of the page, is answered by the same
engines, and passes the same guards, limits and budgets.

The process that took the request reads the completion from the engine by itself; a ticket (chat.queue.tickets)
holds its place. Whatever ends the stream, also a client that goes away, ends the ticket and records what was used.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from channels.db import database_sync_to_async
from django.conf import settings

from accounts.models import ApiKey, User
from chat import guards, policies
from chat.completions import raw_prompts
from chat.completions.guarded import Held
from chat.completions.raw_prompts import spelled
from chat.completions.token_texts import Spelling
from chat.engines.engine import Engine, Parameters, Piece
from chat.engines.loading import attached
from chat.errors import ChatError, EngineDown, EngineError, PolicyRetired
from chat.inspection.scoring import score
from chat.models import Conversation, Policy, Ticket
from chat.prompts.fitting import Prompt
from chat.prompts.history import renderer_of
from chat.prompts.rendering import Turn
from chat.queue import limits, tickets, usage
from chat.queue.tickets import Used
from chat.queue.turnstile import Place, turnstile

__all__ = ["CompletionSpec", "CompletionStream", "meter_prompt", "score", "spelled", "stream_completions"]


@dataclass(frozen=True)
class CompletionSpec:
    """What a program wants to have completed: `turns`, or a raw `text`, or token `ids`."""

    person: User
    key: ApiKey | None
    policy: Policy | None
    """None: whichever is live when its turn comes."""
    parameters: Parameters
    turns: Sequence[Turn] | None = None
    text: str | None = None
    ids: Sequence[int] | None = None
    n: int = 1
    names: Sequence[str] = ()
    """By which the model was asked for: a price may stand under them."""
    shrinks: bool = False
    """Nobody named the completion's length: it is what the context has left, if that is less."""


@dataclass(frozen=True)
class CompletionStream:
    policy: Policy
    prompt: Prompt
    pieces: AsyncGenerator[Piece, None]
    """Of all completions, told apart by `index`; the last of each has its finish reason, which may also be
    `content_filter`, and the counts. Raises ChatError."""

    @property
    def prompt_tokens(self) -> int:
        return self.prompt.tokens

    @property
    def ids(self) -> list[int]:
        """Of the prompt; empty where the tokenizer is elsewhere."""
        return self.prompt.ids or []


@dataclass(frozen=True)
class _Task:
    """A question that was let in, with what the engine is asked."""

    policy: Policy
    prompt: Prompt
    parameters: Parameters


@asynccontextmanager
async def stream_completions(question: CompletionSpec) -> AsyncIterator[CompletionStream]:
    """Waits for the question's turn, and gives the completions as they are made.

    Raises a ChatError: of what is wrong with the question before it waits, of what became of it afterwards.
    """
    task = await database_sync_to_async(_let_in)(question)
    ticket, place = uuid4(), None
    engine: Engine | None = None
    error = ""
    try:
        await database_sync_to_async(_queue)(ticket, question)
        place = turnstile().stand(ticket)
        granted = await place.turn
        task, engine = await database_sync_to_async(_begin)(granted, task, question)
        async with aclosing(_read(engine, task, question, place)) as pieces:
            yield CompletionStream(task.policy, task.prompt, pieces)
    except ChatError as failure:
        error = failure.code
        raise
    finally:
        if place is not None:
            turnstile().leave(place)
        if engine is not None:
            await engine.stop()
        used = place.used if place is not None else Used()
        await database_sync_to_async(tickets.end)(ticket, used, names=question.names, error=error)


async def meter_prompt(question: CompletionSpec) -> CompletionStream:
    """A question to which nothing is to be written: let in and metered like any other, with no place in the line."""
    task = await database_sync_to_async(_let_in)(question)
    await database_sync_to_async(_meter_reading)(task, question)
    return CompletionStream(task.policy, task.prompt, _nothing())


# --- before it waits ----------------------------------------------------------------------------------------------


def _let_in(question: CompletionSpec) -> _Task:
    person, key = question.person.pk, question.key.pk if question.key else None
    limits.check_budget(person, key)
    policy = question.policy or policies.live()
    if policy.retired_at is not None:
        raise PolicyRetired(policy.name)
    task = _task(policy, question)
    for text in _said_by_people(question, task.prompt):
        if text.strip():
            guards.check_message(text, Conversation(owner=question.person, may_train=False))
    return task


def _said_by_people(question: CompletionSpec, prompt: Prompt) -> list[str]:
    if prompt.text is not None:
        return [prompt.text]
    return [turn["content"] for turn in question.turns or () if turn["role"] == "user"]


def _task(policy: Policy, question: CompletionSpec) -> _Task:
    """What the policy is to be asked. Raises ContextExceeded, TurnsRefused, UnknownTokens, BadPolicy."""
    if question.turns is not None:
        prompt = raw_prompts.conversation(policy, question.turns)
    elif question.ids is not None:
        prompt = raw_prompts.token_ids(policy, question.ids)
    else:
        prompt = raw_prompts.text(policy, question.text or "")
    parameters = raw_prompts.within_context(policy, prompt, question.parameters, shrinks=question.shrinks)
    return _Task(policy, prompt, parameters)


def _queue(ticket: UUID, question: CompletionSpec) -> None:
    key = question.key.pk if question.key else None
    slots = min(question.n, settings.CHAT_ENGINE_SLOTS)
    tickets.queue(ticket, question.person.pk, key, question.policy, slots)


def _meter_reading(task: _Task, question: CompletionSpec) -> None:
    key = question.key.pk if question.key else None
    ref, tokens = f"reading:{uuid4()}", task.prompt.tokens
    usage.outside(ref, question.person.pk, key, task.policy, question.names, tokens)


async def _nothing() -> AsyncGenerator[Piece, None]:
    return
    yield  # makes a generator of it


# --- when its turn has come ---------------------------------------------------------------------------------------


def _begin(granted: Ticket, task: _Task, question: CompletionSpec) -> tuple[_Task, Engine]:
    """The granted engine, and the task for its policy: another one may have gone live meanwhile."""
    assert granted.policy is not None
    if granted.policy != task.policy:
        task = _task(granted.policy, question)
    engine = attached(task.policy, granted.engine_id)
    if engine is None:
        raise EngineDown("the engine went away before it was asked")
    return task, engine


async def _read(engine: Engine, task: _Task, question: CompletionSpec, place: Place) -> AsyncGenerator[Piece, None]:
    """What the engine says, past the guards, with `place` told what was used."""
    conversation = Conversation(owner=question.person, may_train=False)

    async def check(text: str) -> None:
        await guards.in_time(database_sync_to_async(guards.check_reply, thread_sensitive=False)(text, conversation))

    answers = [Held(check) for _ in range(question.n)]
    spellings = _spellings(task, question.n)
    place.used = Used(task.prompt.tokens)
    try:
        async with aclosing(_stream(engine, task, question.n)) as pieces:
            async for piece in pieces:
                if place.is_lost:
                    raise EngineDown("the ticket's lease was not kept")
                if piece.prompt_tokens and task.prompt.ids is None:  # a server elsewhere has counted them
                    task = replace(task, prompt=replace(task.prompt, tokens=piece.prompt_tokens))
                answer = answers[piece.index]
                for ready in await answer.take(piece):
                    place.used = Used(task.prompt.tokens, sum(one.pieces for one in answers))
                    given = answer.give(ready)
                    told = spellings[piece.index].take(given) if spellings else given
                    yield _counted(told, answer, task)
                if all(one.finish_reason for one in answers):
                    break
    except EngineError:
        if not any(one.text for one in answers):
            task = replace(task, prompt=replace(task.prompt, tokens=0))  # nobody pays for nothing
        raise
    finally:
        place.used = Used(task.prompt.tokens, sum(_tokens(answer, task) for answer in answers))


def _spellings(task: _Task, n: int) -> list[Spelling]:
    """One for each completion whose tokens are told; none where nobody asked for them."""
    if task.parameters.top_logprobs is None:
        return []
    renderer = renderer_of(task.policy)
    return [Spelling(renderer, list(task.prompt.ids or ())) for _ in range(n)]


def _stream(engine: Engine, task: _Task, n: int) -> AsyncGenerator[Piece, None]:
    if n == 1:
        return engine.stream(task.prompt, task.parameters)
    return engine.stream_many(task.prompt, task.parameters, n)


def _counted(piece: Piece, answer: Held, task: _Task) -> Piece:
    """The last piece with the counts that are metered."""
    if not piece.finish_reason:
        return piece
    return replace(piece, prompt_tokens=task.prompt.tokens, completion_tokens=_tokens(answer, task))


def _tokens(answer: Held, task: _Task) -> int:
    """Of what the reader was given."""
    return usage.completion_tokens(task.policy, answer.text, answer.finish_reason, answer.told)
