"""A look inside a reply: how probable each of its tokens was, and what could have stood in its place.

A TokenView row is the request. Where the policy's weights are here the talker has them recomputed
(chat.inspection.worker), under the very ids that the policy was given; else there is only what the engine sent while
it wrote.
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
from chat.errors import BadPolicy, ChatError, NoLook, ReplyUnderWay, StillBlind, TooManyLooks, WeightsGone
from chat.inspection.client import Seen
from chat.models import Policy, Reply, TokenView
from chat.prompts.history import turns_seen
from chat.prompts.rendering import Renderer, Turn, renderer

State = TokenView.State
LOOKS_AT_A_TIME = 3
"""Of one person; each costs a pass through the whole model."""


@dataclass(frozen=True)
class TokenViewJob:
    """What has to be computed."""

    reply: int
    policy: Policy
    turns: list[Turn]
    prefix: str
    text: str
    """All of the reply, its prefix included."""


@dataclass(frozen=True)
class Encoded:
    """The same as token ids."""

    directory: Path
    renderer: Renderer
    prompt: list[int]
    completion: list[tuple[int, str]]
    """Each with what it adds to the text."""


# --- asked for by a person ------------------------------------------------------------------------------------


def ask(reply: Reply) -> TokenView:
    """The view of the reply's tokens, requested if there is none or if the last try failed. Raises a ChatError."""
    check(reply)
    view = TokenView.objects.filter(reply=reply).first()
    if view is not None and view.state != State.FAILED:
        return view
    if not has_weights(reply.policy):
        raise NoLook if reply.policy is None or not reply.policy.directory else WeightsGone
    queued = TokenView.objects.filter(state=State.QUEUED)
    of_owner = queued.filter(reply__message__conversation__owner=reply.message.conversation.owner_id)
    if of_owner.count() >= LOOKS_AT_A_TIME or queued.count() >= settings.CHAT_QUEUE_LIMIT:
        raise TooManyLooks
    try:
        with transaction.atomic():
            return TokenView.objects.update_or_create(
                reply=reply, defaults={"state": State.QUEUED, "error": "", "requested_at": timezone.now()}
            )[0]
    except IntegrityError:  # somebody asked at the same moment
        return TokenView.objects.get(reply=reply)


def check(reply: Reply) -> None:
    """Raises a ChatError where nobody may look inside yet."""
    if reply.is_live:
        raise ReplyUnderWay
    if side_by_side.is_blind(reply):
        raise StillBlind


def to_json(view: TokenView) -> dict[str, Any]:
    """What the page is told: the tokens once they are there, none of them beyond the reply's text."""
    shown: dict[str, Any] = {"state": view.state}
    if view.state == State.READY:
        tokens = _within(view.tokens, view.reply.message.text, len(view.reply.prefix))
        shown |= {"tokens": tokens, "changed": view.is_of_other_prompt}
    return shown


def _within(tokens: list[dict[str, Any]], text: str, given: int) -> list[dict[str, Any]]:
    """A stopped reply keeps what was seen, which may be less than what was written. `given`: characters at its start
    that a person chose and not the policy."""
    kept, place = [], 0
    for token in tokens:
        if place >= len(text):
            break
        said = token["text"][: len(text) - place]
        kept.append(token | {"text": said, "given": place < given})
        place += len(said)
    return kept


def has_weights(policy: Policy | None) -> bool:
    if policy is None or not policy.directory:
        return False
    try:
        return any(policies.directory(policy).glob("*.safetensors"))
    except BadPolicy:
        return False


# --- computed for them ----------------------------------------------------------------------------------------


def next_job() -> TokenViewJob | None:
    """The oldest request; those that can't be computed are ended on the way."""
    for view in TokenView.objects.filter(state=State.QUEUED).order_by("requested_at", "pk"):
        reply = Reply.objects.select_related("message", "policy").get(pk=view.reply_id)
        if reply.policy is None or not reply.message.text:
            fail(reply.pk, NoLook())
            continue
        return TokenViewJob(reply.pk, reply.policy, turns_seen(reply.message), reply.prefix, reply.message.text)
    return None


def encode(question: TokenViewJob) -> Encoded:
    """As the talker had it: the rendered turns, what the reply was to begin with, what the policy wrote."""
    directory = policies.directory(question.policy)
    if not directory.is_dir():
        raise WeightsGone(str(directory))
    its_renderer = renderer(directory)
    if its_renderer is None:
        raise WeightsGone(f"{directory}: no tokenizer")
    written = question.text.removeprefix(question.prefix)
    prefix = question.prefix if written != question.text else ""
    completion = its_renderer.spelled(prefix) + its_renderer.spelled(written)
    return Encoded(directory, its_renderer, its_renderer.ids(question.turns), completion)


def described(encoded: Encoded, seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """The tokens as TokenView holds them, each alternative with what it would add to the text."""
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


def answer(question: TokenViewJob, encoded: Encoded, tokens: list[dict[str, Any]]) -> None:
    reply = Reply.objects.get(pk=question.reply)
    asked = len(encoded.prompt) + len(encoded.renderer.continuation(question.prefix))
    differs = bool(reply.prompt_tokens) and reply.prompt_tokens != asked
    TokenView.objects.filter(reply=question.reply, state=State.QUEUED).update(
        state=State.READY, tokens=tokens, is_of_other_prompt=differs
    )


def fail(reply: int, error: ChatError) -> None:
    TokenView.objects.filter(reply=reply, state=State.QUEUED).update(state=State.FAILED, error=error.code)


# --- told by the engine ---------------------------------------------------------------------------------------


def recording(parameters: Parameters, policy: Policy) -> Parameters:
    """The parameters with the log-probabilities that the site wants kept of policies whose weights are elsewhere."""
    if not settings.CHAT_RECORD_LOGPROBS or has_weights(policy):
        return parameters
    return replace(parameters, top_logprobs=settings.CHAT_RECORD_LOGPROBS)


def record(reply: int, prefix: str, tokens: Sequence[Token]) -> None:
    """Keeps what an engine told while it wrote; nobody told it how probable the prefix was."""
    given: list[dict[str, Any]] = [{"id": None, "text": prefix, "logprob": None, "top": []}] if prefix else []
    TokenView.objects.update_or_create(
        reply_id=reply, defaults={"state": State.READY, "tokens": given + [token.to_json() for token in tokens]}
    )
