"""The states of a ticket: every transition is a conditional UPDATE, so that only one of several writers can win.

    queued -> granted -> ended
    queued -> ended

The process that took the request renews the lease for as long as somebody waits, and ends the ticket; if that process
dies the lease expires, and chat.queue.reaping ends it. Ending a granted ticket records its usage in the same
transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from chat.errors import ChatError
from chat.models import Policy, Ticket
from chat.queue import limits, usage, waiting

State = Ticket.State
KEPT = timedelta(days=2)
"""How long an ended ticket is kept for inspection; its usage is in the ledger for good."""


@dataclass(frozen=True)
class Used:
    """Tokens that a request has used so far."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


NOTHING = Used()


def queue(
    ticket: UUID, user_id: int, key_id: int | None, policy: Policy | None, slots: int, *, is_batch: bool = False
) -> Ticket:
    """A ticket at the end of the queue. `policy`: the only one that will do; None: whichever is live when granted.

    `is_batch`: one of many completions, behind all that people and single requests wait for. Raises TooManyReplies,
    QueueFull.
    """
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user_id)  # counts one request of the person at a time
        limits.check_room_for_ticket(user_id, is_batch=is_batch)
        until = timezone.now() + settings.REPLY_LEASE
        return Ticket.objects.create(
            pk=ticket,
            user_id=user_id,
            key_id=key_id,
            policy=policy,
            slots=slots,
            is_batch=is_batch,
            lease_until=until,
        )


def by_id(ids: Collection[UUID]) -> dict[UUID, Ticket]:
    return {ticket.pk: ticket for ticket in Ticket.objects.filter(pk__in=ids).select_related("policy")}


def grant(owner: str, policy: Policy, engine: int | None, ticket: UUID) -> bool:
    """Grants the ticket on that engine of the owner's. False if nobody waits for it any more."""
    now = timezone.now()
    waits = Ticket.objects.filter(pk=ticket, state=State.QUEUED, lease_until__gt=now)
    return bool(waits.update(state=State.GRANTED, owner=owner, policy=policy, engine_id=engine, granted_at=now))


def renew(used: Mapping[UUID, Used]) -> set[UUID]:
    """Renews the leases and stores the usage so far; returns the tickets that ended meanwhile."""
    lost = set()
    until = timezone.now() + settings.REPLY_LEASE
    for pk, so_far in used.items():
        living = Ticket.objects.filter(pk=pk).exclude(state=State.ENDED)
        if not living.update(
            lease_until=until, prompt_tokens=so_far.prompt_tokens, completion_tokens=so_far.completion_tokens
        ):
            lost.add(pk)
    return lost


def still_granted(owner: str, ids: Collection[UUID]) -> set[UUID]:
    """Those of the tickets that are still granted on the owner's engines."""
    granted = Ticket.objects.filter(pk__in=ids, owner=owner, state=State.GRANTED, lease_until__gt=timezone.now())
    return set(granted.values_list("pk", flat=True))


def granted_batches() -> QuerySet[Ticket]:
    return Ticket.objects.filter(state=State.GRANTED, is_batch=True, lease_until__gt=timezone.now())


def end(ticket: UUID, used: Used = NOTHING, *, names: Sequence[str] = (), error: str = "") -> bool:
    """Ends the ticket and, if it was granted, records its usage. False if it had ended already."""
    with transaction.atomic():
        living = Ticket.objects.filter(pk=ticket).exclude(state=State.ENDED)
        return _end(living, ticket, error, used, names)


def end_abandoned(rows: QuerySet[Ticket], ticket: Ticket) -> bool:
    """Ends a ticket that nobody waits for, or that no engine will serve (chat.queue.reaping). `rows`: the
    condition for it; inside a transaction."""
    return _end(rows, ticket.pk, _error_of(ticket), Used(ticket.prompt_tokens, ticket.completion_tokens))


def refuse(policy: Policy, error: ChatError) -> None:
    """Ends the queued tickets that name this policy, which no engine could load."""
    Ticket.objects.filter(state=State.QUEUED, policy=policy).update(
        state=State.ENDED, error=error.code, ended_at=timezone.now()
    )


def remove_old() -> int:
    """Deletes tickets that ended longer than KEPT ago; returns how many."""
    removed, _ = Ticket.objects.filter(state=State.ENDED, ended_at__lt=timezone.now() - KEPT).delete()
    return removed


def _error_of(ticket: Ticket) -> str:
    if ticket.state != State.QUEUED or ticket.lease_until < timezone.now():
        return ""  # nobody waits for it
    return waiting.unserved_error(ticket.policy_id).code


def _end(rows: QuerySet[Ticket], pk: UUID, error: str, used: Used, names: Sequence[str] = ()) -> bool:
    """The one place where a ticket ends. `rows`: the condition for it; inside a transaction."""
    if not rows.update(
        state=State.ENDED,
        error=error,
        ended_at=timezone.now(),
        prompt_tokens=used.prompt_tokens,
        completion_tokens=used.completion_tokens,
    ):
        return False
    ended = Ticket.objects.select_related("policy").get(pk=pk)
    if ended.granted_at is not None:
        usage.record_ticket(ended, names)
    return True
