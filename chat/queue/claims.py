"""Claims queued replies and tickets for a talker, in order, as far as its engine has free slots."""

from dataclasses import dataclass, field

from django.db.models import Q

from chat.models import Policy, Reply, Ticket
from chat.queue import line, people, replies, tickets


@dataclass
class Claimed:
    """What a talker has claimed: replies that it writes, and tickets for which it keeps slots free."""

    replies: list[Reply] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)


def claim(owner: str, policy: Policy, engine: int | None, free_slots: int, *, unnamed: bool = True) -> Claimed:
    """Starts what is queued for the policy, oldest first, until `free_slots` are taken.

    That is what names the policy and, with `unnamed`, what names none. An entry that needs more slots than are free
    stays at the head of the queue and nothing overtakes it: else it would wait for ever behind smaller ones. Batches
    come last, and only as far as people leave room (chat.queue.people).
    """
    if line.is_empty():
        return Claimed()
    lanes = Q(policy=policy) | Q(policy=None) if unnamed else Q(policy=policy)
    started, granted = [], []
    for entry in line.entries(lanes, most=free_slots):
        if entry.slots > free_slots or (entry.is_batch and not _has_room_for_batch(entry.slots)):
            break
        if entry.reply is not None and replies.start(owner, policy, entry.reply):
            started.append(entry.reply)
        elif entry.ticket is not None and tickets.grant(owner, policy, engine, entry.ticket):
            granted.append(entry.ticket)
        else:  # somebody else was quicker, or nobody waits for it any more
            continue
        free_slots -= entry.slots
    return Claimed(replies.started(started), list(Ticket.objects.filter(pk__in=granted)))


def _has_room_for_batch(slots: int) -> bool:
    """Beside the batches under way; what those reserve and do not use for the moment counts as taken."""
    reserved = list(tickets.granted_batches().values_list("slots", flat=True))
    return len(reserved) < people.room_for_bulk() and sum(reserved) + slots <= people.most_bulk()
