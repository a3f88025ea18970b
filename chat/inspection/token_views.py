"""Token views: how probable each token of a reply was, and which others were likely in its place.

A TokenView row is the request. Where the policy's weights are here, the talker's background worker
(chat.inspection.worker) recomputes the probabilities from the very ids that the policy was given; elsewhere there
are only those that the engine sent while it generated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from chat import policies
from chat.conversations import side_by_side
from chat.engines.engine import Parameters, Token
from chat.errors import (
    BadPolicy,
    ChatError,
    NoProbabilities,
    ReplyUnderWay,
    StillBlind,
    TooManyTokenViews,
    WeightsGone,
)
from chat.inspection.client import InspectedToken
from chat.models import Policy, Reply, TokenView
from chat.prompts.history import turns_seen
from chat.prompts.rendering import Renderer, Turn, renderer

State = TokenView.State
MAX_QUEUED = 3
"""Token views of one person; each costs a pass through the whole model."""


@dataclass(frozen=True)
class TokenViewJob:
    """A token view that has to be computed."""

    reply: int
    policy: Policy
    turns: list[Turn]
    prefix: str
    text: str
    """All of the reply, its prefix included."""


@dataclass(frozen=True)
class Encoded:
    """Prompt and completion as token ids."""

    directory: Path
    renderer: Renderer
    prompt: list[int]
    completion: list[tuple[int, str]]
    """Each with what it adds to the text."""


# --- requests ------------------------------------------------------------------------------------


def ask(reply: Reply) -> TokenView:
    """The view of the reply's tokens, requested if there is none or if the last try failed. Raises a ChatError."""
    check(reply)
    view = TokenView.objects.filter(reply=reply).first()
    if view is not None and view.state != State.FAILED:
        return view
    if not has_weights(reply.policy):
        raise NoProbabilities if reply.policy is None or not reply.policy.directory else WeightsGone
    queued = TokenView.objects.filter(state=State.QUEUED)
    of_owner = queued.filter(reply__message__conversation__owner=reply.message.conversation.owner_id)
    if of_owner.count() >= MAX_QUEUED or queued.count() >= settings.CHAT_QUEUE_LIMIT:
        raise TooManyTokenViews
    try:
        with transaction.atomic():
            return TokenView.objects.update_or_create(
                reply=reply, defaults={"state": State.QUEUED, "error": "", "requested_at": timezone.now()}
            )[0]
    except IntegrityError:  # somebody asked at the same moment
        return TokenView.objects.get(reply=reply)


def check(reply: Reply) -> None:
    """Raises a ChatError while the reply's tokens may not be shown."""
    if reply.is_live:
        raise ReplyUnderWay
    if side_by_side.is_blind(reply):
        raise StillBlind


def to_json(view: TokenView) -> dict[str, Any]:
    """As the page gets it: the tokens once they are ready, cut to the reply's text."""
    shown: dict[str, Any] = {"state": view.state}
    if view.state == State.READY:
        tokens = _within(view.tokens, view.reply.message.text, len(view.reply.prefix))
        shown |= {"tokens": tokens, "changed": view.is_of_other_prompt}
    return shown


def _within(tokens: list[dict[str, Any]], text: str, given: int) -> list[dict[str, Any]]:
    """The tokens within the text: a stopped reply may have less text than was generated. `given`: characters at its
    start that a person chose, not the policy."""
    shown, place = [], 0
    for token in tokens:
        if place >= len(text):
            break
        part = token["text"][: len(text) - place]
        shown.append(token | {"text": part, "given": place < given})
        place += len(part)
    return shown


def has_weights(policy: Policy | None) -> bool:
    if policy is None or not policy.directory:
        return False
    try:
        return policies.has_weights(policy)
    except BadPolicy:
        return False


# --- computation ----------------------------------------------------------------------------------------


def next_job() -> TokenViewJob | None:
    """The oldest request; those that can't be computed fail on the way."""
    for view in TokenView.objects.filter(state=State.QUEUED).order_by("requested_at", "pk"):
        reply = Reply.objects.select_related("message", "policy").get(pk=view.reply_id)
        if reply.policy is None or not reply.message.text:
            fail(reply.pk, NoProbabilities())
            continue
        return TokenViewJob(reply.pk, reply.policy, turns_seen(reply.message), reply.prefix, reply.message.text)
    return None


def encode(job: TokenViewJob) -> Encoded:
    """As the talker had it: the rendered turns, the reply's prefix, and what the policy generated."""
    directory = fetched_weights(job.policy)
    its_renderer = renderer(directory)
    if its_renderer is None:
        raise WeightsGone(f"{directory}: no tokenizer")
    written = job.text.removeprefix(job.prefix)
    prefix = job.prefix if written != job.text else ""
    completion = its_renderer.spelled(prefix) + its_renderer.spelled(written)
    return Encoded(directory, its_renderer, its_renderer.ids(job.turns), completion)


def fetched_weights(policy: Policy) -> Path:
    """Raises WeightsGone."""
    try:
        directory = policies.fetched(policy)
    except BadPolicy as error:
        raise WeightsGone(str(error)) from error
    if not directory.is_dir():
        raise WeightsGone(str(directory))
    return directory


def described(encoded: Encoded, seen: Sequence[InspectedToken]) -> list[dict[str, Any]]:
    """The tokens as TokenView stores them, each alternative with what it would add to the text."""
    specials = encoded.renderer.control_tokens
    before, tokens = list(encoded.prompt), []
    for (number, text), token in zip(encoded.completion, seen, strict=True):
        top = []
        for other, logprob in token.top:
            added = "" if other in specials else encoded.renderer.added_by(other, before)
            choice = {"id": other, "text": text if other == number and text else added, "logprob": logprob}
            top.append(choice | ({"special": specials[other]} if other in specials else {}))
        tokens.append({"id": number, "text": text, "logprob": token.logprob, "top": top})
        before.append(number)
    return tokens


def store(job: TokenViewJob, encoded: Encoded, tokens: list[dict[str, Any]]) -> None:
    reply = Reply.objects.get(pk=job.reply)
    asked = len(encoded.prompt) + len(encoded.renderer.continuation(job.prefix))
    differs = bool(reply.prompt_tokens) and reply.prompt_tokens != asked
    TokenView.objects.filter(reply=job.reply, state=State.QUEUED).update(
        state=State.READY, tokens=tokens, is_of_other_prompt=differs
    )


def fail(reply: int, error: ChatError) -> None:
    TokenView.objects.filter(reply=reply, state=State.QUEUED).update(state=State.FAILED, error=error.code)


# --- recorded from the engine ---------------------------------------------------------------------------------------


def recording(parameters: Parameters, policy: Policy) -> Parameters:
    """Asks for log-probabilities if the site records them and the policy's weights are elsewhere."""
    if not settings.CHAT_RECORD_LOGPROBS or has_weights(policy):
        return parameters
    return replace(parameters, top_logprobs=settings.CHAT_RECORD_LOGPROBS)


def record(reply: int, prefix: str, tokens: Sequence[Token]) -> None:
    """Stores what an engine sent while it generated; the probabilities of the prefix are not known."""
    given: list[dict[str, Any]] = [{"id": None, "text": prefix, "logprob": None, "top": []}] if prefix else []
    TokenView.objects.update_or_create(
        reply_id=reply, defaults={"state": State.READY, "tokens": given + [token.to_json() for token in tokens]}
    )
