"""Records a person's choice between two replies side by side, and then reveals which policies wrote them."""

from dataclasses import dataclass

from django.db import transaction

from accounts.models import User
from chat.conversations import side_by_side
from chat.models import Chunk, Pair, Policy, Reply
from feedback.errors import AlreadyChosen, Lapsed, NothingToCompare, NotSeenYet
from feedback.judgements.anonymity import reveals_identity
from feedback.models import Comparison
from feedback.splits import split_of_conversation

State = Reply.State
Choice = Comparison.Choice
IDENTITY = "identity"
COMPARABLE = (State.STREAMING, State.COMPLETE, State.STOPPED)
"""Replies that failed, were interrupted or blocked cannot be judged."""


@dataclass(frozen=True)
class ComparedReply:
    reply: Reply
    text: str
    """What is written so far, while the reply is live."""


def compare(pair: Pair, person: User, choice: str, seconds: float = 0) -> Comparison:
    """Stores the choice and reveals the pair. The conversation goes on with the better reply, or with the left one.

    Idempotent for the same choice. Raises a FeedbackError; then nothing has changed.
    """
    with transaction.atomic():
        Pair.objects.select_for_update().get(pk=pair.pk)
        made = Comparison.objects.filter(pair=pair).first()
        if made is not None:
            if made.choice != choice:
                raise AlreadyChosen
            return made
        left, right = _sides(pair)
        if not side_by_side.reveal(pair, right.reply if choice == Choice.RIGHT else left.reply):
            raise Lapsed
        return Comparison.objects.create(
            pair=pair,
            annotator=person,
            choice=choice,
            seconds=seconds,
            is_simulated=person.is_simulated,
            discounted=IDENTITY if _reveals_identity(left, right) else "",
            split=split_of_conversation(left.reply.message),
        )


def give_up(pair: Pair, keep: Reply) -> None:
    """Goes on with one of the two without a choice, and reveals the pair. Raises Lapsed."""
    if not side_by_side.reveal(pair, keep):
        raise Lapsed


def _sides(pair: Pair) -> tuple[ComparedReply, ComparedReply]:
    rows = Reply.objects.select_related("message").in_bulk([pair.left_id, pair.right_id])
    left, right = (ComparedReply(rows[pk], _text(rows[pk])) for pk in (pair.left_id, pair.right_id))
    for side in (left, right):
        if side.reply.message.hidden_at is not None or side.reply.state not in (*COMPARABLE, State.QUEUED):
            raise NothingToCompare
    if not (left.text.strip() and right.text.strip()):
        if left.reply.is_live or right.reply.is_live:
            raise NotSeenYet
        raise NothingToCompare
    return left, right


def _text(reply: Reply) -> str:
    if not reply.is_live:
        return reply.message.text
    return "".join(Chunk.objects.filter(reply=reply).order_by("seq").values_list("text", flat=True))


def _reveals_identity(left: ComparedReply, right: ComparedReply) -> bool:
    policies = list(Policy.objects.all())
    return any(reveals_identity(side.text, policies) for side in (left, right))
