"""Follows live replies for all sockets of this process: one task reads new chunks and states from the database.

A socket names the last chunk that it has of a reply, and is sent each later chunk once and in order, each change of
state, and the end.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models import Max
from django.utils import translation

from base.database_thread import DatabaseThread
from base.polling import PAUSE_AFTER_ERROR_S, Poller
from chat import guards
from chat.conversations import side_by_side
from chat.errors import Text
from chat.markdown.rendering import render
from chat.models import Chunk, Reply
from chat.queue import reaping, wakeup
from chat.queue.waiting import Wait, waits

LEAST_S_A_LOOK = 0.01
LOOK_UNCALLED_AFTER_S = 0.25 if wakeup.SEES_EVERY_COMMIT else 0.05
"""The tail looks when it is woken (chat.queue.wakeup), and also after this time for changes that woke nobody, as of
the time that is left to wait."""
UNCALLED_STATES_A_LOOK = 20
STATES_A_LOOK = 100
"""Each look reads the state of about so many streaming replies; where more are followed, they take turns. Fewer where
writers name the replies whose state they change."""
REAP_EVERY_S = 5.0


class ChoiceNews(NamedTuple):
    best_of: int
    outcome: str
    took_ms: int
    """For all completions and their scores; 0 while it is open."""


@dataclass(frozen=True)
class StateNews:
    reply: int
    state: str
    wait: Wait | None
    """While queued."""
    policy: tuple[str, int, bool] | None
    """Its name for people, its version, and whether it was trained on simulated judgements."""
    error: str
    trimmed: int = 0
    """Messages, oldest first, that did not fit the context."""
    blocked_by: str = ""
    blocked_by_name: Text = field(default="", compare=False)
    choice: ChoiceNews | None = None
    """Where it is shown only once it was chosen or checked."""


class ChunkNews(NamedTuple):
    """One chunk, or several consecutive ones that were found together."""

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
    """With labels in the reader's language."""
    finish_reason: str = ""
    """`length` where it was cut off; else `stop`, or nothing."""


News = StateNews | ChunkNews | EndNews


@dataclass(eq=False)
class Follower:
    """A socket that follows a reply."""

    reply: int
    seq: int
    """The last chunk that the socket has."""
    send: Callable[[News], None]
    language: str = settings.LANGUAGE_CODE
    is_new: bool = True
    last_state: StateNews | None = None


@dataclass(frozen=True)
class _Look:
    """What one look at the tables found."""

    states: dict[int, StateNews]
    chunks: dict[int, list[ChunkNews]]
    ended: dict[int, dict[str, EndNews]]
    """By the language of their readers."""
    cursor: int


class _TailThread(DatabaseThread):
    """The thread in which the tail asks the database, with how far it has read."""

    def __init__(self) -> None:
        super().__init__("tail")
        self.cursor = -1
        self.reap_at = time.monotonic()
        self.sleeper = wakeup.sleeper()

    async def close(self) -> None:
        await self(self.sleeper.leave)
        await super().close()


class Tail(Poller[_TailThread]):
    def __init__(self) -> None:
        super().__init__()
        self._followers: set[Follower] = set()
        self._looks = 0
        self._changed: set[int] = set()
        """Replies named by a wake-up: their state is read at the next look."""

    def follow(self, reply: int, after_seq: int, send: Callable[[News], None], language: str) -> Follower:
        """Sends news of the reply until its end, or until it is unfollowed."""
        follower = Follower(reply, after_seq, send, language)
        self._followers.add(follower)
        self.begin()
        return follower

    def unfollow(self, follower: Follower) -> None:
        self._followers.discard(follower)

    def connect(self) -> _TailThread:
        return _TailThread()

    def is_awaited(self) -> bool:
        return bool(self._followers)

    def on_failure(self) -> None:
        """Begins again after a pause."""
        if self._followers:
            asyncio.get_running_loop().call_later(PAUSE_AFTER_ERROR_S, self.begin)

    async def poll(self, database: _TailThread) -> None:
        started = time.monotonic()
        database.cursor = await self._look(database, database.cursor)
        if started >= database.reap_at:
            database.reap_at = started + REAP_EVERY_S
            await database(reaping.reap)
        await asyncio.sleep(started + LEAST_S_A_LOOK - time.monotonic())
        self._changed |= await database(database.sleeper.sleep, LOOK_UNCALLED_AFTER_S)

    async def _look(self, database: DatabaseThread, cursor: int) -> int:
        followers = list(self._followers)
        behind: dict[int, int] = {}
        for follower in followers:
            if follower.is_new:
                behind[follower.reply] = min(follower.seq, behind.get(follower.reply, follower.seq))
        asked = self._to_ask(followers)
        named = {
            follower.reply
            for follower in followers
            if follower.reply in asked and follower.last_state and follower.last_state.policy
        }
        languages: dict[int, set[str]] = defaultdict(set)
        for follower in followers:
            languages[follower.reply].add(follower.language)
        found = await database(look, languages, asked, behind, cursor, named)
        for follower in followers:
            if follower.reply not in asked and follower.reply not in found.chunks:
                continue
            follower.is_new = False
            if follower in self._followers and not self._send_news(follower, found, follower.reply in asked):
                follower.is_new = True  # the next look reads what is missing
        return found.cursor

    def _to_ask(self, followers: list[Follower]) -> set[int]:
        """Replies whose state is read now: all that are not streaming yet, and a share of those that are."""
        self._looks += 1
        changed, self._changed = self._changed, set()
        turns = 1 + len(followers) // (UNCALLED_STATES_A_LOOK if wakeup.IS_POSSIBLE else STATES_A_LOOK)
        return {
            follower.reply
            for follower in followers
            if follower.is_new
            or follower.last_state is None
            or follower.last_state.state != Reply.State.STREAMING
            or follower.reply in changed
            or follower.reply % turns == self._looks % turns
        }

    def _send_news(self, follower: Follower, found: _Look, was_asked: bool) -> bool:
        """False if a chunk before the newest is missing."""
        is_whole = True
        state = found.states.get(follower.reply) if was_asked else follower.last_state
        if state is None:  # the reply was deleted with its conversation
            self.unfollow(follower)
            return True
        if state != follower.last_state:
            follower.last_state = state
            follower.send(state)
        news = None
        for chunk in found.chunks.get(follower.reply, ()):
            if chunk.seq > follower.seq + 1 and follower.reply not in found.ended:
                is_whole = False
                break
            if chunk.seq == follower.seq + 1:
                follower.seq = chunk.seq
                news = news.joined(chunk) if news else chunk
        if news:
            follower.send(news)
        if not is_whole:
            return False
        if end := found.ended.get(follower.reply):
            self.unfollow(follower)
            follower.send(end[follower.language])
        return True


NEWER_CHUNKS = "SELECT id, reply_id, seq, text FROM chat_chunk WHERE id > %s ORDER BY id"
"""Asked at every look; half of its time went to the ORM before it asked."""
STATE_FIELDS = (
    *("pk", "state", "error", "trimmed", "blocked_by"),
    *("policy__label", "policy__name", "policy__version", "policy__made_from_simulated"),
    *("choice__best_of", "choice__outcome", "choice__sampling_ms", "choice__scoring_ms"),
)
"""Read at every look as plain values, since a model instance costs five times as much."""


def look(
    followed: Mapping[int, Collection[str]],
    asked: Collection[int],
    behind: dict[int, int],
    cursor: int,
    named: Collection[int] = (),
) -> _Look:
    """States of the replies in `asked`, chunks of all that are followed after the cursor, and for those in `behind`
    every chunk after the given number.

    `followed`: replies, with the languages of their readers.
    `named`: replies whose policy was already shown, so they are in no undecided pair.
    """
    # States first: a reply that has ended by then has all its chunks in the table.
    rows = list(Reply.objects.filter(pk__in=asked).values_list(*STATE_FIELDS)) if asked else []
    unnamed = [row[0] for row in rows if row[0] not in named]
    blind = side_by_side.blind(unnamed) if unnamed else set()  # their policy is shown once the pair is revealed
    queued = [pk for pk, state, *_rest in rows if state == Reply.State.QUEUED]
    waiting = waits(queued) if queued else {}
    states = {}
    for pk, state, error, trimmed, blocked_by, label, name, version, simulated, *chosen in rows:
        policy = None if name is None or pk in blind else (label or name, version, simulated)
        rule = guards.lazy_name_of(blocked_by) if blocked_by else ""
        states[pk] = StateNews(pk, state, waiting.get(pk), policy, error, trimmed, blocked_by, rule, _choice(*chosen))
    chunks: dict[int, list[ChunkNews]] = defaultdict(list)
    if cursor < 0:
        cursor = Chunk.objects.aggregate(newest=Max("pk"))["newest"] or 0
    for reply, seq in behind.items():
        missed = Chunk.objects.filter(reply_id=reply, seq__gt=seq).order_by("seq")
        chunks[reply] += [ChunkNews(reply, chunk.seq, chunk.seq, chunk.text) for chunk in missed]
    for pk, reply, seq, text in _newer_chunks(cursor):
        cursor = pk
        if reply in followed:
            chunks[reply].append(ChunkNews(reply, seq, seq, text))
    return _Look(states=states, chunks=chunks, ended=_ended(states, blind, followed), cursor=cursor)


def _choice(best_of: int | None, outcome: str, sampling_ms: int | None, scoring_ms: int | None) -> ChoiceNews | None:
    return None if best_of is None else ChoiceNews(best_of, outcome, (sampling_ms or 0) + (scoring_ms or 0))


def _newer_chunks(cursor: int) -> list[tuple[int, int, int, str]]:
    """Of every reply: filtering by hundreds of ids costs more than the few rows of others that it would leave out."""
    with connection.cursor() as database:
        database.execute(NEWER_CHUNKS, [cursor])
        return list(database.fetchall())


def _ended(
    states: dict[int, StateNews], blind: set[int], followed: Mapping[int, Collection[str]]
) -> dict[int, dict[str, EndNews]]:
    over = [pk for pk, state in states.items() if state.state not in Reply.LIVE]
    rows = list(Reply.objects.filter(pk__in=over).select_related("policy", "message")) if over else []
    for row in rows:
        if row.pk in blind:
            row.policy = None
    return {row.pk: {language: _end_in(language, row) for language in followed[row.pk]} for row in rows}


def _end_in(language: str, row: Reply) -> EndNews:
    with translation.override(language):
        return end_of(row)


def _policy(row: Reply) -> tuple[str, int, bool] | None:
    policy = row.policy
    return (policy.label or policy.name, policy.version, policy.made_from_simulated) if policy else None


def end_of(row: Reply) -> EndNews:
    """The complete text of an ended reply, with labels in the active language; empty if a moderator hid it."""
    text = "" if row.message.hidden_at else row.message.text
    return EndNews(row.pk, row.state, _policy(row), row.last_seq, text, render(text), row.finish_reason)
