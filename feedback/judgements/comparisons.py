"""A person's choice between two replies that stand side by side: taken once, and told only then whose they were."""

from dataclasses import dataclass

from django.db import transaction

from accounts.models import User
from chat.conversations import side_by_side
from chat.models import Chunk, Pair, Policy, Reply
from chat.prompts.history import turns_seen
from feedback.errors import AlreadyChosen, Lapsed, NothingToCompare, NotSeenYet
from feedback.judgements.anonymity import gives_away
from feedback.models import Comparison
from feedback.prompts import side_of

State = Reply.State
Choice = Comparison.Choice
IDENTITY = "identity"
COMPARABLE = (State.STREAMING, State.COMPLETE, State.STOPPED)
"""A reply that failed, was cut off or blocked is no answer to be judged beside another."""


@dataclass(frozen=True)
class ComparedReply:
    reply: Reply
    text: str
    """What is written so far."""


def compare(pair: Pair, person: User, choice: str, seconds: float = 0) -> Comparison:
    """Keeps the choice and reveals the pair: the better reply becomes the path, the left one if none is better.

    The same choice again gives the same row. Raises a FeedbackError; then nothing has changed.
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
            discounted=IDENTITY if _tells(left, right) else "",
            split=side_of(_context(left.reply)),
        )


def give_up(pair: Pair, keep: Reply) -> None:
    """Goes on with one of the two without a choice: the names are shown, nothing counts. Raises Lapsed."""
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


def _context(reply: Reply) -> list[dict[str, str]]:
    """What both replies answer."""
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns_seen(reply.message)]


def _text(reply: Reply) -> str:
    if not reply.is_live:
        return reply.message.text
    return "".join(Chunk.objects.filter(reply=reply).order_by("seq").values_list("text", flat=True))


def _tells(left: ComparedReply, right: ComparedReply) -> bool:
    policies = list(Policy.objects.all())
    return any(gives_away(side.text, policies) for side in (left, right))
