"""Pairs of replies side by side: when a turn gets one, and when it is shown which policy wrote which reply.

A turn gets a pair where an admin's rate and the person's own switch say so, a choice is of use (to a trial, or to
training), the site has capacity for both, and no policy was named. The replies come from the live policy and the one
that is tried, on a share of the chats (chat.conversations.shares) or on trial; without one, from the live policy with
two seeds. Whoever writes on below an undecided pair, or
regenerates one of its replies, lets it lapse: the names are shown, and nothing counts.
"""

import random
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from chat import site_choices
from chat.conversations import shares
from chat.conversations.answerer import Answerer
from chat.engines.engine import MAX_SEED
from chat.models import Conversation, Message, Pair, Policy, Reply, ShareOfChats
from chat.queue import replies

CHANCE = random.SystemRandom()


def queue_replies(message: Message, answerer: Answerer) -> list[Reply]:
    """Queues the answer to a person's message: one reply, or two that stand side by side, the left one first.

    An answerer with a policy of its own never makes a pair. To be called in the transaction of the turn.
    """
    if answerer.policy is not None:
        return [_queue(message, answerer)]
    share = shares.share_of(message.conversation)
    if not _makes_pair(message, answerer, share):
        return [_queue(message, answerer if share is None else replace(answerer, policy=share.policy))]
    sides = _two_answerers(answerer, _on_trial() if share is None else share.policy)
    CHANCE.shuffle(sides)  # before a row is made, so that the rows' ids, which the page knows, say nothing either
    left, right = (_queue(message, side) for side in sides)
    Pair.objects.create(message=message, left=left, right=right)
    return [left, right]


def _two_answerers(answerer: Answerer, tried: Policy | None) -> list[Answerer]:
    """The live policy and the one that is tried, or the live policy with two seeds."""
    if tried is not None:
        return [answerer, replace(answerer, policy=tried)]
    seeds = CHANCE.sample(range(MAX_SEED), 2)
    return [replace(answerer, parameters=replace(answerer.parameters, seed=seed)) for seed in seeds]


def is_blind(reply: Reply) -> bool:
    """Whether it may not be shown yet which policy wrote the reply."""
    return bool(blind([reply.pk]))


def blind(ids: Collection[int]) -> set[int]:
    """Those of the replies whose policy may not be shown yet."""
    undecided = Pair.objects.filter(Q(left__in=ids) | Q(right__in=ids), revealed_at=None)
    return {reply for pair in undecided.values_list("left", "right") for reply in pair}


def _undecided_at(message: Message) -> Pair | None:
    """The undecided pair that has the message as one of its replies."""
    pairs = Pair.objects.filter(Q(left__message=message) | Q(right__message=message), revealed_at=None)
    return pairs.select_related("left__message", "right__message", "message").first()


def lapse(message: Message) -> None:
    """Reveals the message's undecided pair without a choice; does nothing if there is none."""
    reply = message.reply_or_none
    if reply is not None and is_blind(reply) and (pair := _undecided_at(message)):
        reveal(pair, reply)


def reveal(pair: Pair, winner: Reply) -> bool:
    """Reveals the policies and continues from the winner. False if somebody was quicker: then nothing changes."""
    with transaction.atomic():
        if not Pair.objects.filter(pk=pair.pk, revealed_at=None).update(revealed_at=timezone.now()):
            return False
        Conversation.objects.filter(pk=pair.message.conversation_id).update(tip=winner.message_id)
    pair.refresh_from_db(fields=["revealed_at"])
    return True


def frame(pair: Pair) -> dict[str, Any]:
    """A pair for the page: which reply is on which side, and nothing of who wrote it."""
    sides = {"left": pair.left, "right": pair.right}
    return {"id": pair.pk, **{side: {"id": reply.pk, "message": reply.message_id} for side, reply in sides.items()}}


def _queue(message: Message, answerer: Answerer) -> Reply:
    return replies.queue(
        message,
        answerer.parameters.to_json(),
        preamble=answerer.assistants_preamble,
        instructions=answerer.instructions,
        policy=answerer.policy,
    )


def _on_trial() -> Policy | None:
    return Policy.objects.filter(is_on_trial=True, is_live=False, retired_at=None).first()


def _makes_pair(message: Message, answerer: Answerer, share: ShareOfChats | None) -> bool:
    owner = message.conversation.owner
    is_tried = share is not None or _on_trial() is not None
    if not is_tried and not message.conversation.may_train:
        return False  # nobody would learn from the choice
    if message.conversation.is_temporary:
        return False  # nothing said in it is a judgement
    if settings.CHAT_ENGINES < 2 and is_tried:
        return False  # there is no place to load the one that is tried
    if not owner.sees_side_by_side or CHANCE.random() * 100 >= _percent(share):
        return False
    if answerer.parameters.temperature == 0 and not is_tried:
        return False  # both would be the same text
    live = Reply.objects.filter(state__in=Reply.LIVE)
    if live.filter(message__conversation__owner=owner).exists():
        return False
    # A busy site generates no second replies.
    return live.filter(state=Reply.State.QUEUED).count() + 2 <= settings.CHAT_QUEUE_LIMIT // 2


def _percent(share: ShareOfChats | None) -> int:
    everywhere = site_choices.get().side_by_side_percent
    return everywhere if share is None else max(everywhere, share.pairs_percent)
