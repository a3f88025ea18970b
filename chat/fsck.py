"""The chat's checks for fsck: replies end, texts match chunks, trees are consistent, usage is recorded."""

from collections.abc import Iterator
from datetime import timedelta

from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, Exists, F, Max, OuterRef, Q
from django.utils import timezone

from base.fsck import LEASE_GRACE, Check
from chat.errors import OF_A_REPLY
from chat.models import Candidate, Choice, Chunk, Conversation, Message, Pair, Reply, Ticket
from metering.models import Usage

REMOVAL_GRACE = timedelta(minutes=10)
"""The sweep comes every minute (chat.tasks)."""


def replies_end() -> Iterator[str]:
    streaming = Reply.objects.filter(state=Reply.State.STREAMING, lease_until__lt=timezone.now() - LEASE_GRACE)
    for pk in streaming.values_list("pk", flat=True):
        yield f"reply {pk} is still open, minutes after its talker stopped"
    for pk in Reply.objects.exclude(state__in=Reply.LIVE).filter(ended_at=None).values_list("pk", flat=True):
        yield f"reply {pk} has ended but has no end time"


def tickets_end() -> Iterator[str]:
    open_still = Ticket.objects.exclude(state=Ticket.State.ENDED).filter(lease_until__lt=timezone.now() - LEASE_GRACE)
    for pk in open_still.values_list("pk", flat=True):
        yield f"ticket {pk} is still open, minutes after its client left"


def text_is_its_chunks() -> Iterator[str]:
    for chunk in Chunk.objects.filter(~Exists(Reply.objects.filter(pk=OuterRef("reply_id")))).order_by("pk"):
        yield f"chunk {chunk.pk} belongs to reply {chunk.reply_id}, which does not exist"
    counted = Reply.objects.annotate(chunk_count=Count("chunks"), newest=Max("chunks__seq"))
    for reply in counted.exclude(state__in=Reply.LIVE).select_related("message").iterator(chunk_size=500):
        if reply.chunk_count != (reply.newest or 0) or reply.last_seq != (reply.newest or 0):
            yield f"reply {reply.pk}: {reply.chunk_count} chunks, the last is {reply.newest}, not {reply.last_seq}"
        elif "".join(reply.chunks.values_list("text", flat=True)) != reply.message.text:
            yield f"reply {reply.pk}: its text differs from its chunks"
        elif reply.state == Reply.State.COMPLETE and not reply.message.text.startswith(reply.prefix):
            yield f"reply {reply.pk} does not start with the requested text"


def chosen_texts_are_shown() -> Iterator[str]:
    """A complete reply that was chosen among several is what the record of the choice says."""
    chosen = Candidate.objects.filter(is_chosen=True, choice__reply__state=Reply.State.COMPLETE)
    for one in chosen.select_related("choice__reply__message").iterator(chunk_size=500):
        reply = one.choice.reply
        if reply.message.text != reply.prefix + one.text:
            yield f"reply {reply.pk}: its text is not that of the completion that was chosen"
    shown = (Choice.Outcome.CHOSEN, Choice.Outcome.UNSCORED)
    unrecorded = Choice.objects.filter(reply__state=Reply.State.COMPLETE)
    picked = Candidate.objects.filter(choice=OuterRef("pk"), is_chosen=True)
    for pk in unrecorded.filter(~Exists(picked) | ~Q(outcome__in=shown)).values_list("reply", flat=True):
        yield f"reply {pk} is shown, but no choice of it is recorded"


def trees_are_whole() -> Iterator[str]:
    strange = Message.objects.exclude(parent=None).exclude(parent__conversation=F("conversation"))
    for pk in strange.values_list("pk", flat=True):
        yield f"message {pk} follows one of another conversation"
    strays = Conversation.objects.exclude(tip=None).exclude(tip__conversation=F("pk"))
    for conversation in strays.values_list("pk", flat=True):
        yield f"conversation {conversation}: its current path ends in another conversation"
    for pair in Pair.objects.select_related("left__message", "right__message"):
        answered = {pair.left.message.parent_id, pair.right.message.parent_id}
        if answered != {pair.message_id} or pair.left_id == pair.right_id:
            yield f"pair {pair.pk} does not hold two replies to its message"


def errors_say_something() -> Iterator[str]:
    bad = (Reply.State.INTERRUPTED, Reply.State.FAILED)
    for reply in Reply.objects.filter(state__in=bad).exclude(error__in=OF_A_REPLY):
        yield f"reply {reply.pk} failed, but its error {reply.error!r} has no message for people"
    blocked = Q(state=Reply.State.BLOCKED)
    for reply in Reply.objects.filter((blocked & Q(blocked_by="")) | (~blocked & ~Q(blocked_by=""))):
        yield f"reply {reply.pk} is {reply.state}, but its blocking guard is {reply.blocked_by or 'none'!r}"


def usage_is_written_down() -> Iterator[str]:
    """Of every reply and ticket that an engine worked for, since the ledger exists."""
    since = MigrationRecorder.Migration.objects.get(app="metering", name="0001_initial").applied
    ended = Reply.objects.exclude(state__in=Reply.LIVE).filter(ended_at__gt=since).exclude(policy=None)
    replies = ended.exclude(started_at=None).values_list("pk", flat=True)
    granted = Ticket.objects.filter(state=Ticket.State.ENDED).exclude(granted_at=None)
    recorded = set(Usage.objects.filter(kind__in=(Usage.Kind.CHAT, Usage.Kind.API)).values_list("ref", flat=True))
    billable = [f"reply:{pk}" for pk in replies] + [f"ticket:{pk}" for pk in granted.values_list("pk", flat=True)]
    for ref in billable:
        if ref not in recorded:
            yield f"{ref} has ended, but its usage is not recorded"


def temporary_ones_are_removed() -> Iterator[str]:
    """Those whose end is long past, unless a reply in them is still being written."""
    live = Reply.objects.filter(message__conversation=OuterRef("pk"), state__in=Reply.LIVE)
    due = Conversation.objects.filter(~Exists(live), expires_at__lt=timezone.now() - REMOVAL_GRACE)
    for pk in due.values_list("pk", flat=True):
        yield f"temporary conversation {pk} ended minutes ago and is still stored"
    for pk in Conversation.objects.exclude(expires_at=None).exclude(title="").values_list("pk", flat=True):
        yield f"temporary conversation {pk} has a title, which is made of its words"
    pairs = Pair.objects.exclude(message__conversation__expires_at=None)
    for pair in pairs.values_list("pk", flat=True):
        yield f"pair {pair} belongs to a temporary conversation, which is not judged"


CHECKS: tuple[Check, ...] = (
    (2, replies_end),
    (2, tickets_end),
    (3, text_is_its_chunks),
    (3, chosen_texts_are_shown),
    (3, trees_are_whole),
    (10, errors_say_something),
    (11, usage_is_written_down),
    (12, temporary_ones_are_removed),
)
