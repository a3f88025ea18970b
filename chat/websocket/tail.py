"""The tail of the chunk table: while sockets of this process wait for live replies, one loop reads for all of them.

A socket says from which chunk on it wants a reply, and is told each later chunk once and in order, each change of
state, and the end.
"""

import asyncio
import logging
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db.models import Max
from django.db.utils import InterfaceError, OperationalError

from base.database_thread import DatabaseThread
from chat import guards, markdown
from chat.conversations import side_by_side
from chat.errors import Text
from chat.models import Chunk, Reply
from chat.queue import replies, wakeup
from chat.queue.waiting import Wait, waits

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.025
LEAST_S_A_LOOK = 0.01
LOOK_UNCALLED_AFTER_S = 0.05
UNCALLED_STATES_A_LOOK = 20
"""Where writers wake readers (chat.queue.wakeup), readers look when they are woken; and from time to time for what
changed without a call."""
STATES_A_LOOK = 100
"""Of about so many replies that are being written the state is read at a look; where more are watched, in turn."""
REAP_EVERY_S = 5.0
PAUSE_AFTER_ERROR_S = 0.5


@dataclass(frozen=True)
class StateNews:
    reply: int
    state: str
    wait: Wait | None
    """While queued."""
    policy: tuple[str, int, bool] | None
    """What people call it, its version, and whether it learned from simulated judgements."""
    error: str
    trimmed: int = 0
    """Messages, oldest first, that did not fit the context."""
    blocked_by: str = ""
    blocked_by_name: Text = field(default="", compare=False)


class ChunkNews(NamedTuple):
    """One chunk, or several in a row that were found together."""

    reply: int
    first: int
    """Number of the first chunk in it."""
    seq: int
    """Number of the last."""
    text: str

    def joined(self, follower: "ChunkNews") -> "ChunkNews":
        return ChunkNews(self.reply, self.first, follower.seq, self.text + follower.text)


@dataclass(frozen=True)
class EndNews:
    reply: int
    state: str
    policy: tuple[str, int, bool] | None
    seq: int
    text: str
    html: str
    finish_reason: str = ""
    """`length` where it was cut off; else `stop`, or nothing."""


News = StateNews | ChunkNews | EndNews


@dataclass(eq=False)
class Subscription:
    """One socket's interest in one reply."""

    reply: int
    seq: int
    """The last chunk that the socket has."""
    tell: Callable[[News], None]
    is_new: bool = True
    said: StateNews | None = None


@dataclass(frozen=True)
class _Look:
    """What one look at the tables found."""

    states: dict[int, StateNews]
    chunks: dict[int, list[ChunkNews]]
    ended: dict[int, EndNews]
    cursor: int


class Tail:
    def __init__(self) -> None:
        self._watches: set[Subscription] = set()
        self._task: asyncio.Task[None] | None = None
        self._looks = 0
        self._changed: set[int] = set()
        """Replies that a call named: their state is read at the next look."""

    def watch(self, reply: int, after_seq: int, tell: Callable[[News], None]) -> Subscription:
        """Tells of the reply until its end, or until the watch is forgotten."""
        watch = Subscription(reply, after_seq, tell)
        self._watches.add(watch)
        self._begin()
        return watch

    def forget(self, watch: Subscription) -> None:
        self._watches.discard(watch)

    def _begin(self) -> None:
        if self._task is not None:
            return
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._log_end)

    def _log_end(self, task: asyncio.Task[None]) -> None:
        """An error that nobody foresaw must not leave the sockets waiting: the loop begins anew."""
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the tail broke", exc_info=error)
            if self._watches:
                asyncio.get_running_loop().call_later(PAUSE_AFTER_ERROR_S, self._begin)

    async def _run(self) -> None:
        database = DatabaseThread("tail")
        sleeper = wakeup.Sleeper()
        cursor = -1
        reap_at = time.monotonic()
        try:
            while self._watches:
                started = time.monotonic()
                try:
                    cursor = await self._look(database, cursor)
                    if started >= reap_at:
                        reap_at = started + REAP_EVERY_S
                        await database(replies.reap)
                    if wakeup.IS_POSSIBLE:
                        await asyncio.sleep(started + LEAST_S_A_LOOK - time.monotonic())
                        self._changed |= await database(sleeper.sleep, LOOK_UNCALLED_AFTER_S)
                    else:
                        await asyncio.sleep(started + LOOK_EVERY_S - time.monotonic())
                except (OperationalError, InterfaceError) as error:
                    logger.warning("the database is away: %s", error)
                    await asyncio.sleep(PAUSE_AFTER_ERROR_S)
        finally:
            self._task = None  # before anything is awaited: whoever comes from now on starts a new loop
            await database(sleeper.leave)
            await database.close()

    async def _look(self, database: DatabaseThread, cursor: int) -> int:
        watches = list(self._watches)
        behind: dict[int, int] = {}
        for watch in watches:
            if watch.is_new:
                behind[watch.reply] = min(watch.seq, behind.get(watch.reply, watch.seq))
        asked = self._to_ask(watches)
        named = {watch.reply for watch in watches if watch.reply in asked and watch.said and watch.said.policy}
        found = await database(look, {watch.reply for watch in watches}, asked, behind, cursor, named)
        gaps: dict[int, int] = {}
        for watch in watches:
            if watch.reply not in asked and watch.reply not in found.chunks:
                continue
            watch.is_new = False
            if watch in self._watches and not self._tell(watch, found, watch.reply in asked):
                gaps[watch.reply] = min(watch.seq, gaps.get(watch.reply, watch.seq))
                watch.is_new = True  # the next look reads what is missing
        return found.cursor

    def _to_ask(self, watches: list[Subscription]) -> set[int]:
        """Replies whose state is read now: those that may begin at any moment, and a share of those that go on."""
        self._looks += 1
        changed, self._changed = self._changed, set()
        turns = 1 + len(watches) // (UNCALLED_STATES_A_LOOK if wakeup.IS_POSSIBLE else STATES_A_LOOK)
        return {
            watch.reply
            for watch in watches
            if watch.is_new
            or watch.said is None
            or watch.said.state != Reply.State.STREAMING
            or watch.reply in changed
            or watch.reply % turns == self._looks % turns
        }

    def _tell(self, watch: Subscription, found: _Look, was_asked: bool) -> bool:
        """False if a chunk is missing before the newest."""
        is_whole = True
        state = found.states.get(watch.reply) if was_asked else watch.said
        if state is None:  # the reply was deleted with its conversation
            self.forget(watch)
            return True
        if state != watch.said:
            watch.said = state
            watch.tell(state)
        news = None
        for chunk in found.chunks.get(watch.reply, ()):
            if chunk.seq > watch.seq + 1 and watch.reply not in found.ended:
                is_whole = False
                break
            if chunk.seq == watch.seq + 1:
                watch.seq = chunk.seq
                news = news.joined(chunk) if news else chunk
        if news:
            watch.tell(news)
        if not is_whole:
            return False
        if end := found.ended.get(watch.reply):
            self.forget(watch)
            watch.tell(end)
        return True


_tails: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Tail]" = weakref.WeakKeyDictionary()


def tail() -> Tail:
    """The tail of the running event loop."""
    return _tails.setdefault(asyncio.get_running_loop(), Tail())


STATE_FIELDS = (
    *("pk", "state", "error", "trimmed", "blocked_by"),
    *("policy__label", "policy__name", "policy__version", "policy__made_from_simulated"),
)
"""Read of every reply at every look; plain values, for a row of the model costs five times as much."""


def look(
    ids: set[int], asked: Collection[int], behind: dict[int, int], cursor: int, named: Collection[int] = ()
) -> _Look:
    """States of the replies that are asked for, the chunks of all after the cursor, and for those `behind` every
    chunk after the number.

    `named`: replies whose writer was told already: those are, or were, no side of an undecided pair.
    """
    # States first: what had ended by then has all its chunks in the table.
    rows = list(Reply.objects.filter(pk__in=asked).values_list(*STATE_FIELDS)) if asked else []
    unnamed = [row[0] for row in rows if row[0] not in named]
    blind = side_by_side.blind(unnamed) if unnamed else set()  # who wrote those is told when the pair is revealed
    queued = [pk for pk, state, *_rest in rows if state == Reply.State.QUEUED]
    waiting = waits(queued) if queued else {}
    states = {}
    for pk, state, error, trimmed, blocked_by, label, name, version, simulated in rows:
        policy = None if name is None or pk in blind else (label or name, version, simulated)
        rule = guards.lazy_name_of(blocked_by) if blocked_by else ""
        states[pk] = StateNews(pk, state, waiting.get(pk), policy, error, trimmed, blocked_by, rule)
    chunks: dict[int, list[ChunkNews]] = defaultdict(list)
    if cursor < 0:
        cursor = Chunk.objects.aggregate(newest=Max("pk"))["newest"] or 0
    for reply, seq in behind.items():
        missed = Chunk.objects.filter(reply_id=reply, seq__gt=seq).order_by("seq")
        chunks[reply] += [ChunkNews(reply, chunk.seq, chunk.seq, chunk.text) for chunk in missed]
    # Of every reply: to ask for hundreds of numbers costs more than the few rows of others that it would leave out.
    newer = Chunk.objects.filter(pk__gt=cursor).order_by("pk")
    for pk, reply, seq, text in newer.values_list("pk", "reply_id", "seq", "text"):
        cursor = pk
        if reply in ids:
            chunks[reply].append(ChunkNews(reply, seq, seq, text))
    return _Look(states=states, chunks=chunks, ended=_ended(states, blind), cursor=cursor)


def _ended(states: dict[int, StateNews], blind: set[int]) -> dict[int, EndNews]:
    over = [pk for pk, state in states.items() if state.state not in Reply.LIVE]
    rows = list(Reply.objects.filter(pk__in=over).select_related("policy", "message")) if over else []
    for row in rows:
        if row.pk in blind:
            row.policy = None
    return {row.pk: end_of(row) for row in rows}


def _policy(row: Reply) -> tuple[str, int, bool] | None:
    policy = row.policy
    return (policy.label or policy.name, policy.version, policy.made_from_simulated) if policy else None


def end_of(row: Reply) -> EndNews:
    """The whole of an ended reply; nothing of one that moderators hid."""
    text = "" if row.message.hidden_at else row.message.text
    return EndNews(row.pk, row.state, _policy(row), row.last_seq, text, markdown.render(text), row.finish_reason)
