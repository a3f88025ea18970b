"""Estimates how long a queued reply waits: its engine's state, its place in the queue, and the seconds left.

Replies and tickets for one engine are in one queue (chat.queue.line), first come, first served. The estimate plays
the queue forward: a slot of the engine is free once its completion has taken as long as recent ones did.
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from typing import Literal

from django.conf import settings
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from chat.errors import ChatError, EngineDown, EnginesFull
from chat.models import EngineProcess, Reply, Ticket
from chat.queue import line
from chat.queue.line import Entry, Lane

ENGINE_FRESH = timedelta(seconds=15)
"""An engine's row with an older heartbeat is out of date."""
RECENTLY = timedelta(minutes=10)
RECENT = 20
"""Completions whose durations are averaged."""
TICKETS_WITHIN = timedelta(hours=1)
LEAST_LEFT = 0.1
"""Share of the usual duration that is still expected of a completion that has run longer than usual."""

EngineState = Literal["ready", "starting", "restarting"]


@dataclass(frozen=True)
class Wait:
    """`seconds` is None where nothing is known: no engine, or no completion to learn from."""

    place: int
    seconds: int | None
    engine: EngineState


def waits(ids: Collection[int]) -> dict[int, Wait]:
    """The wait of each reply that is queued."""
    lanes: dict[Lane, list[Entry]] = defaultdict(list)
    for entry in line.entries():
        lanes[entry.lane].append(entry)
    found = {}
    for lane, entries in lanes.items():
        if wanted := {entry.reply for entry in entries} & set(ids):
            engine, served_by = engine_of(lane)
            seconds = _seconds([entry.slots for entry in entries], served_by) if served_by is not None else None
            for place, entry in enumerate(entries, start=1):
                if entry.reply is not None and entry.reply in wanted:
                    found[entry.reply] = Wait(place, seconds[place - 1] if seconds else None, engine)
    return found


def engine_of(lane: Lane) -> tuple[EngineState, int | None]:
    """The state of the lane's engine, and the policy that it serves if it is ready."""
    rows = _rows(lane)
    fresh = timezone.now() - ENGINE_FRESH
    ready = rows.filter(state=EngineProcess.State.READY, heartbeat_at__gt=fresh)
    row = (ready if lane is not None else ready.filter(is_default=True)).order_by("-pk").first()
    if row is not None:
        return "ready", row.policy_id
    died = (Q(state=EngineProcess.State.DEAD) & ~Q(error="")) | Q(heartbeat_at__lte=fresh)
    died_lately = rows.filter(died, heartbeat_at__gt=timezone.now() - RECENTLY).exists()
    return ("restarting" if died_lately else "starting"), None


def is_served(lane: Lane, within: timedelta) -> bool:
    """Whether an engine serves the lane, did so within that time, or is starting for the policy that it names."""
    if engine_of(lane)[0] == "ready":
        return True
    now = timezone.now()
    known = Q(ready_at__isnull=False, heartbeat_at__gt=now - within)
    if lane is not None:
        known |= Q(state=EngineProcess.State.STARTING, heartbeat_at__gt=now - ENGINE_FRESH)
    return _rows(lane).filter(known).exists()


def unserved_error(lane: Lane) -> type[ChatError]:
    """Why no engine serves the lane: other policies take all the places, or the live one's engine is down."""
    others_are_served = lane is not None and engine_of(None)[0] == "ready"
    return EnginesFull if others_are_served else EngineDown


def seconds_to_room(lane: Lane = None) -> float | None:
    """About how long until the next reply of the lane starts, which is when the queue has room again."""
    _, policy = engine_of(lane)
    seconds = _seconds([1], policy) if policy is not None else None
    return float(seconds[0]) if seconds else None


def play_forward(length: int, slots: int, running_s: Sequence[float], usual_s: float) -> list[float]:
    """When each of `length` waiting replies starts, in seconds from now.

    `running_s`: how long each reply under way has been running.
    """
    left = [max(usual_s - ran, LEAST_LEFT * usual_s) for ran in running_s]
    free = sorted(left, reverse=True)[:slots] + [0.0] * (slots - len(left))
    heapq.heapify(free)
    starts = []
    for _ in range(length):
        start = heapq.heappop(free)
        starts.append(start)
        heapq.heappush(free, start + usual_s)
    return starts


def rounded(seconds: float) -> int:
    """Rounded up to whole seconds, then to fives, then to half minutes."""
    step = 1 if seconds <= 10 else 5 if seconds <= 60 else 30
    return math.ceil(seconds / step) * step


def _seconds(slots: Sequence[int], policy: int) -> list[int] | None:
    """When each entry starts, given the slots that it needs; one of several starts with its last completion."""
    usual = usual_seconds(policy)
    if usual is None:
        return None
    starts = play_forward(sum(slots), settings.CHAT_ENGINE_SLOTS, _running_s(policy), usual)
    return [max(1, rounded(starts[last - 1])) for last in accumulate(slots)]


def _running_s(policy: int) -> list[float]:
    """How long each completion under way has been running on the policy."""
    now = timezone.now()
    running = Reply.objects.filter(state=Reply.State.STREAMING, policy=policy).exclude(started_at=None)
    started = [at for at in running.values_list("started_at", flat=True) if at]
    granted = Ticket.objects.filter(state=Ticket.State.GRANTED, policy=policy, lease_until__gt=now)
    for at, slots in granted.values_list("granted_at", "slots"):
        started += [at or now] * slots
    return [(now - at).total_seconds() for at in started]


def usual_seconds(policy: int) -> float | None:
    """How long the policy's newest completions took on average; those of all policies where it has none yet."""
    for which in (Q(policy=policy), Q()):
        replies = _recent_replies().filter(which).order_by("-pk").values_list("ended_at", "started_at")
        tickets = _recent_tickets().filter(which).order_by("-queued_at").values_list("ended_at", "granted_at")
        times = [*replies[:RECENT], *tickets[:RECENT]]
        newest = heapq.nlargest(RECENT, [(ended, ended - started) for ended, started in times if ended and started])
        if newest:
            return sum(took.total_seconds() for _, took in newest) / len(newest)
    return None


def _recent_replies() -> QuerySet[Reply]:
    newest = Reply.objects.aggregate(newest=Max("pk"))["newest"] or 0
    # Bounded by the primary key, so that the query does not scan the whole history of the site.
    return Reply.objects.filter(
        pk__gt=newest - 20 * RECENT,
        state__in=(Reply.State.COMPLETE, Reply.State.STOPPED, Reply.State.BLOCKED),
        started_at__isnull=False,
        ended_at__isnull=False,
    )


def _recent_tickets() -> QuerySet[Ticket]:
    return Ticket.objects.filter(
        state=Ticket.State.ENDED,
        is_batch=False,  # these also wait for people while they are granted
        queued_at__gt=timezone.now() - TICKETS_WITHIN,
        granted_at__isnull=False,
        ended_at__isnull=False,
        error="",
    )


def _rows(lane: Lane) -> QuerySet[EngineProcess]:
    return EngineProcess.objects.filter(
        Q(policy__is_live=True) | Q(is_default=True) if lane is None else Q(policy=lane)
    )
