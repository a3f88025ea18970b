"""Scores a given text: the log-probability of each of its tokens, for programs that ask for them with `echo`.

A Scoring row is the request; the talker's background worker (chat.inspection.worker) computes it, and the row is
deleted as soon as the answer was read.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from chat.engines.engine import Token, TokenProbability
from chat.errors import ChatError, InspectorDown, NoProbabilities, TooManyTokenViews, WeightsGone
from chat.inspection import token_views
from chat.models import Policy, Scoring
from chat.prompts.rendering import renderer

State = Scoring.State
POLL_EVERY_S = 0.1
PATIENCE_S = 120.0
"""How long an answer is waited for; requests before it each take a pass through the whole model."""
ABANDONED_AFTER = timedelta(minutes=5)
"""By then nobody waits for the answer any more."""
MAX_QUEUED = 16
"""Scorings of one person; a request may bring a list of prompts."""


@dataclass(frozen=True)
class ScoringJob:
    """What has to be computed."""

    scoring: UUID
    policy: Policy
    ids: list[int]
    top: int


async def score(person: User, policy: Policy, ids: Sequence[int], top: int) -> list[Token]:
    """The log-probability of each id but the first after those before it, with the `top` most probable ones.

    Natural logarithms at temperature 1. Raises NoProbabilities where the weights are elsewhere, TooManyTokenViews,
    InspectorDown.
    """
    if len(ids) < 2:
        return []
    row = await database_sync_to_async(_queue)(person, policy, ids, top)
    try:
        give_up_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up_at:
            tokens = await database_sync_to_async(_answer_of)(row)
            if tokens is not None:
                return tokens
            await asyncio.sleep(POLL_EVERY_S)
        raise InspectorDown("no answer in time")
    finally:
        await database_sync_to_async(_remove)(row)


# --- requests ----------------------------------------------------------------------------------------------------


def _queue(person: User, policy: Policy, ids: Sequence[int], top: int) -> UUID:
    if not token_views.has_weights(policy):
        raise NoProbabilities(policy.name)
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=person.pk)
        queued = Scoring.objects.filter(state=State.QUEUED)
        if queued.filter(user=person).count() >= MAX_QUEUED or queued.count() >= settings.CHAT_QUEUE_LIMIT:
            raise TooManyTokenViews
        return Scoring.objects.create(user=person, policy=policy, ids=list(ids), top=top).pk


def _answer_of(scoring: UUID) -> list[Token] | None:
    """None while it is not ready. Raises the ChatError that it failed with."""
    row = Scoring.objects.filter(pk=scoring).first()
    if row is None or row.state == State.FAILED:
        raise FAILURES.get(row.error if row else "", InspectorDown)()
    return [_token(stored) for stored in row.tokens] if row.state == State.READY else None


def _remove(scoring: UUID) -> None:
    Scoring.objects.filter(pk=scoring).delete()


def remove_abandoned() -> None:
    """Requests of processes that are gone."""
    Scoring.objects.filter(requested_at__lt=timezone.now() - ABANDONED_AFTER).delete()


def _token(stored: dict[str, Any]) -> Token:
    top = tuple(TokenProbability(other["text"], other["logprob"], other["id"]) for other in stored["top"])
    return Token(stored["text"], stored["logprob"], stored["id"], top)


FAILURES: dict[str, type[ChatError]] = {error.code: error for error in (NoProbabilities, WeightsGone, InspectorDown)}


# --- computation ----------------------------------------------------------------------------------------------------


def next_job() -> ScoringJob | None:
    """The oldest request."""
    row = Scoring.objects.filter(state=State.QUEUED).select_related("policy").order_by("requested_at", "pk").first()
    return None if row is None else ScoringJob(row.pk, row.policy, row.ids, row.top)


def encode(job: ScoringJob) -> token_views.Encoded:
    """The first id as the prompt, the others as its completion, each with what it adds to the text."""
    directory = token_views.fetched_weights(job.policy)
    its_renderer = renderer(directory)
    if its_renderer is None:
        raise WeightsGone(str(directory))
    ids = job.ids
    texts = [its_renderer.added_by(number, ids[:place]) for place, number in enumerate(ids)]
    return token_views.Encoded(directory, its_renderer, ids[:1], list(zip(ids, texts, strict=True))[1:])


def store(job: ScoringJob, tokens: list[dict[str, Any]]) -> None:
    _queued(job).update(state=State.READY, tokens=tokens)


def fail(job: ScoringJob, error: ChatError) -> None:
    _queued(job).update(state=State.FAILED, error=error.code)


def _queued(job: ScoringJob) -> Any:
    return Scoring.objects.filter(pk=job.scoring, state=State.QUEUED)
