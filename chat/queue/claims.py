"""Who comes next: a talker takes from the head of the line what its engine has room for."""

from dataclasses import dataclass, field

from django.db.models import Q

from chat.models import Policy, Reply, Ticket
from chat.queue import line, replies, tickets


@dataclass
class Claimed:
    """What a talker has to do from now on: write the replies, and leave room for the tickets."""

    replies: list[Reply] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)


def claim(owner: str, policy: Policy, engine: int | None, room: int, *, unnamed: bool = True) -> Claimed:
    """Starts what waits for the policy, oldest first, until `room` completions are taken.

    Those that name the policy, and with `unnamed` those that name none. What wants more room than is left waits for
    it at the head of the line, and nothing overtakes it: else it would wait for ever behind smaller ones.
    """
    lanes = Q(policy=policy) | Q(policy=None) if unnamed else Q(policy=policy)
    started, granted = [], []
    for entry in line.entries(lanes, most=room):
        if entry.slots > room:
            break
        if entry.reply is not None and replies.start(owner, policy, entry.reply):
            started.append(entry.reply)
        elif entry.ticket is not None and tickets.grant(owner, policy, engine, entry.ticket):
            granted.append(entry.ticket)
        else:  # somebody else was quicker, or it is waited for no more
            continue
        room -= entry.slots
    return Claimed(replies.started(started), list(Ticket.objects.filter(pk__in=granted)))
