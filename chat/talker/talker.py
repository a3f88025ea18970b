"""The talker: claims queued replies, streams each from its engine through the guards, and stores text in batches.

For tickets, whose completions other processes read, it only keeps slots of its engines free.

It has a lease on what it writes: if it is stopped or killed, another process can end all of it.
"""

import asyncio
import logging
import math
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4

from django.db.utils import InterfaceError, OperationalError

from base.database_thread import DatabaseThread
from chat import guards
from chat.choosing.plan import Plan
from chat.engines.engine import Parameters, Piece
from chat.errors import Blocked, ChatError, EngineBroken, TalkerGone
from chat.inspection import token_views
from chat.inspection.worker import InspectionWorker
from chat.models import Reply
from chat.prompts.fitting import PolicyPrompt
from chat.prompts.history import preamble_of_reply, prompt_for, turns_before
from chat.queue import claims, reaping, replies, tickets, wakeup
from chat.queue.replies import Ending, NewChunk
from chat.talker.active import Active
from chat.talker.choosing import Chooser
from chat.talker.engine_pool import EnginePool, LoadedEngine
from chat.talker.server_watch import ServerWatch

logger = logging.getLogger(__name__)

FLUSH_EVERY_S = 0.03
"""From the start of one write to the start of the next: what a write takes is no pause on top of it."""
REPLIES_A_FLUSH = 250
"""Where more are streaming they take turns, so that a chunk holds several tokens and fewer chunks are stored."""
LEAST_PAUSE_S = 0.005
"""Also from the first text that is to be stored to its write, which takes what comes with it: the end, for one."""
CLAIM_BUSY_S = 0.05
CLAIM_IDLE_S = 0.1
CLAIM_UNCALLED_S = 0.25
"""Where every commit is seen (chat.queue.wakeup), it claims after one, and also after this time."""
CHECK_EVERY_S = 0.15
"""How soon a stopped reply's stream is closed, and the slots of an ended ticket are free."""
RENEW_EVERY_S = 4.0
PAUSE_AFTER_ERROR_S = 0.5


@asynccontextmanager
async def _tolerate_outages() -> AsyncIterator[None]:
    """Logs that the database is away and pauses; the caller tries again later."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        logger.warning("the database is away: %s", error)
        await asyncio.sleep(PAUSE_AFTER_ERROR_S)


@dataclass(frozen=True)
class Granted:
    """A ticket whose completions another process reads from an engine of this talker."""

    loaded: LoadedEngine
    slots: int


class Talker:
    def __init__(self) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:12]}"
        self.database = DatabaseThread("talker")
        self.writing = DatabaseThread("chunks")
        """A thread of its own, since readers wait for every chunk, and other queries must not delay it."""
        self.ending = DatabaseThread("endings")
        """A thread of its own, since ending a reply costs as much as the chunks of hundreds."""
        self.guarding = DatabaseThread("guards")
        """A thread of its own, since guards are third-party code, and a slow one must not delay anything else."""
        self.waiting = DatabaseThread("news")
        """A thread that sleeps until something was committed."""
        self.sleeper = wakeup.sleeper()
        self.engines = EnginePool(self.database)
        self.servers = ServerWatch(self.database)
        self.chooser = Chooser(self.database)
        self.active: dict[int, Active] = {}
        self.granted: dict[UUID, Granted] = {}
        self._written = asyncio.Event()
        """Set where a reply has new text or an end that is to be stored."""
        self._unconfirmed: list[NewChunk] = []
        """Chunks that the database has not confirmed: they are stored again before anything newer."""
        self._endings: asyncio.Task[None] | None = None
        self._turn = 0
        self._claimed_at = 0.0

    async def run(self) -> None:
        """Runs until cancelled; then streaming replies end as interrupted, and every engine is stopped.

        Raises ImproperlyConfigured if there is a guard that can't be loaded.
        """
        guards.guards()
        loops = (self.engines.run(), self._flush_repeatedly(), self._work_repeatedly())
        vital = [asyncio.create_task(loop) for loop in loops]
        aside = [
            asyncio.create_task(work.run()) for work in (InspectionWorker(self.database), self.chooser, self.servers)
        ]
        try:
            ended, _ = await asyncio.wait(vital, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in (*vital, *aside):
                task.cancel()
            await asyncio.wait([*vital, *aside])
            await self._finish()

    async def _flush_repeatedly(self) -> None:
        while True:
            await self._written.wait()
            await asyncio.sleep(LEAST_PAUSE_S)
            next_write = time.monotonic() + FLUSH_EVERY_S - LEAST_PAUSE_S
            async with _tolerate_outages():
                await self._flush()
            if not self._is_anything_to_store():
                self._written.clear()
            await asyncio.sleep(max(0.0, next_write - time.monotonic()))

    def _is_anything_to_store(self) -> bool:
        """Chunks that were not confirmed, text of replies whose turn it was not, an end that is under way."""
        waiting = (active.ending or not active.is_given_out() for active in self.active.values())
        return bool(self._unconfirmed) or any(waiting)

    async def _work_repeatedly(self) -> None:
        """Claims, checks and renews at their intervals, one after the other."""
        due = {self._claim: 0.0, self._check: 0.0, self._renew: 0.0}
        while True:
            for work in due:
                if time.monotonic() >= due[work]:
                    async with _tolerate_outages():
                        due[work] = time.monotonic() + await work()
            async with _tolerate_outages():
                if await self._is_news(max(LEAST_PAUSE_S, min(due.values()) - time.monotonic())):
                    # While it writes, most news is its own.
                    earliest = self._claimed_at + CLAIM_BUSY_S if self.active else 0.0
                    due[self._claim] = min(due[self._claim], earliest)

    async def _is_news(self, within_s: float) -> bool:
        """Waits until something was committed, which may be work; False after so many seconds without."""
        if not wakeup.SEES_EVERY_COMMIT:
            await asyncio.sleep(within_s)
            return False
        started = time.monotonic()
        await self.waiting(self.sleeper.sleep, within_s)
        return time.monotonic() - started < within_s

    async def _claim(self) -> float:
        """Starts what is queued as far as the engines have free slots; returns the seconds until the next claim."""
        ready = self.engines.ready()
        self._claimed_at = time.monotonic()
        for loaded in ready:
            await self._claim_for(loaded)
        if wakeup.SEES_EVERY_COMMIT and ready:
            return CLAIM_UNCALLED_S
        return CLAIM_IDLE_S if ready and not (self.active or self.granted) else CLAIM_BUSY_S

    async def _claim_for(self, loaded: LoadedEngine) -> None:
        free_slots = loaded.engine.slots() - loaded.users
        if free_slots <= 0 or loaded not in self.engines.ready():  # it may have changed during the claim before
            return
        loaded.users += 1  # so that the engine is not unloaded during the claim
        try:
            unnamed = loaded is self.engines.current
            claimed = await self.database(
                claims.claim, self.owner, loaded.policy, loaded.row, free_slots, unnamed=unnamed
            )
        finally:
            loaded.users -= 1
        for ticket in claimed.tickets:
            self.granted[ticket.pk] = Granted(loaded, ticket.slots)
            loaded.users += ticket.slots
        for reply in claimed.replies:
            active = self.active[reply.pk] = Active(reply, loaded)
            loaded.users += 1
            active.task = asyncio.create_task(self._write(active))
            active.task.add_done_callback(partial(self._on_written, active))

    async def _check(self) -> float:
        """Closes the streams of replies that need not be written any more, and frees the slots of ended tickets."""
        if self.active:
            self._drop(await self.database(replies.lost_or_stopped, self.owner, list(self.active)))
        if self.granted:
            still_granted = await self.database(tickets.still_granted, self.owner, list(self.granted))
            for pk in self.granted.keys() - still_granted:
                granted = self.granted.pop(pk)
                granted.loaded.users -= granted.slots
        return CHECK_EVERY_S

    async def _renew(self) -> float:
        # In the thread of writes, which lock the same rows: so the two cannot deadlock.
        await self.writing(replies.renew, self.owner)
        await self.database(reaping.reap, except_owner=self.owner)
        return RENEW_EVERY_S

    async def _write(self, active: Active) -> None:
        reply = active.reply
        try:
            turns = await self.database(turns_before, reply.message)
            parameters = token_views.recording(Parameters.from_json(reply.parameters), active.loaded.policy)
            limit, preamble = parameters.max_completion_tokens, len(preamble_of_reply(reply))
            prompt = await asyncio.to_thread(prompt_for, active.loaded.policy, turns, limit, preamble, reply.prefix)
            await self.database(replies.note_prompt, self.owner, reply.pk, prompt.tokens, prompt.dropped)
            await self._guard(active, len(active.text))
            plan = await self.chooser.plan(reply, parameters, active.loaded.policy)
            if plan is None:
                await self._stream(active, prompt, parameters)
            else:
                await self._choose(active, prompt, plan)
        except Blocked as error:
            self._block(active, error)
        except ChatError as error:
            logger.warning("reply %s: %s: %s", reply.pk, error.code, error.detail)
            try:
                await self._guard(active, len(active.text))
                active.ending = replies.ending_after(reply.pk, error)
            except Blocked as blocked:
                self._block(active, blocked)
        finally:
            await self._record_tokens(active)

    async def _stream(self, active: Active, prompt: PolicyPrompt, parameters: Parameters) -> None:
        """From the engine, through the guards. Raises ChatError."""
        with active.loaded.writing() as note:
            async with aclosing(active.loaded.engine.stream(prompt, parameters)) as pieces:
                async for piece in pieces:
                    note()
                    checkable = active.take(piece)
                    self._written.set()
                    await self._guard(active, checkable)
                    if piece.finish_reason:
                        await self._guard(active, len(active.text))
                        await self._record_tokens(active)
                        active.ending = Ending(
                            active.reply.pk,
                            Reply.State.COMPLETE,
                            finish_reason=piece.finish_reason,
                            prompt_tokens=piece.prompt_tokens or prompt.tokens,
                            completion_tokens=piece.completion_tokens or active.pieces,
                            first_token_at=active.first_token_at,
                        )

    async def _choose(self, active: Active, prompt: PolicyPrompt, plan: Plan) -> None:
        """Its text comes at once, when it was chosen and passed. Raises ChatError."""
        further = plan.best_of - active.slots
        active.slots += further
        active.loaded.users += further
        shown = await self.chooser.choose(active, prompt, plan, partial(self._check_text, active))
        active.take(Piece(shown.text, tokens=shown.tokens))
        active.passed = len(active.text)
        self._written.set()
        await self._record_tokens(active)
        active.ending = Ending(
            active.reply.pk,
            Reply.State.COMPLETE,
            finish_reason=shown.finish_reason,
            prompt_tokens=shown.prompt_tokens or prompt.tokens,
            completion_tokens=shown.completion_tokens or shown.pieces,
            first_token_at=active.first_token_at,
        )

    async def _guard(self, active: Active, end: int) -> None:
        """Asks the guards about the text up to `end`, if they have not seen it. Raises Blocked."""
        if end <= active.passed:
            return
        await self._check_text(active, active.text[:end])
        active.passed = end

    async def _check_text(self, active: Active, text: str) -> None:
        """Raises Blocked."""
        await guards.in_time(self.guarding(guards.check_reply, text, active.reply.message.conversation))

    def _block(self, active: Active, error: Blocked) -> None:
        logger.warning("reply %s: %s", active.reply.pk, error)
        active.ending = Ending(
            active.reply.pk,
            Reply.State.BLOCKED,
            blocked_by=error.guard[:120],
            first_token_at=active.first_token_at,
            keep=active.cut_to_passed(),
        )

    async def _record_tokens(self, active: Active) -> None:
        if tokens := active.tokens:
            active.tokens = []
            await self.database(token_views.record, active.reply.pk, active.reply.prefix, tokens)

    def _on_written(self, active: Active, task: asyncio.Task[None]) -> None:
        """Ends the reply, whatever its task failed with."""
        active.loaded.users -= active.slots
        self._written.set()
        if active.ending is not None or self.active.get(active.reply.pk) is not active:
            return
        if task.cancelled():
            active.ending = replies.ending_after(active.reply.pk, TalkerGone())
            return
        logger.error("reply %s: unforeseen error", active.reply.pk, exc_info=task.exception())
        active.ending = replies.ending_after(active.reply.pk, EngineBroken())

    async def _flush(self, *, of_all: bool = False) -> None:
        """Stores new text, then starts ending the replies that are complete."""
        due = self.active.values() if of_all else self._whose_turn()
        self._unconfirmed = self._unconfirmed or [chunk for active in due for chunk in active.next_chunks()]
        if self._unconfirmed:
            self._drop(await self.writing(replies.write, self.owner, self._unconfirmed))
            self._unconfirmed = []
        if self._endings is None or self._endings.done():
            former, self._endings = self._endings, None
            if former is not None:
                former.result()  # an unforeseen error ends the talker, as everywhere in its loops
            endings = [active.ending for active in self.active.values() if active.ending and active.is_given_out()]
            self._endings = asyncio.create_task(self._end(endings)) if endings else None

    def _whose_turn(self) -> list[Active]:
        turns = max(1, math.ceil(len(self.active) / REPLIES_A_FLUSH))
        self._turn = (self._turn + 1) % turns
        return [active for pk, active in self.active.items() if pk % turns == self._turn]

    async def _end(self, endings: list[Ending]) -> None:
        """One by one, in a transaction each. One that the database does not confirm is tried again."""
        for ending in endings:
            async with _tolerate_outages():
                await self.ending(replies.end, self.owner, ending)
                self.active.pop(ending.reply, None)

    def _drop(self, ids: set[int]) -> None:
        for pk in ids:
            active = self.active.pop(pk, None)
            if active and active.task:
                active.task.cancel()

    async def _finish(self) -> None:
        tasks = [active.task for active in self.active.values() if active.task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for active in self.active.values():
            active.ending = active.ending or replies.ending_after(active.reply.pk, TalkerGone())
        for _ in range(2):  # the first one may only store chunks that were not confirmed
            await self._flush(of_all=True)
            if self._endings is not None:
                await asyncio.wait([self._endings])
        await self.database(replies.abandon, self.owner)
        for granted in self.granted.values():  # an engine elsewhere would wait for those who read them
            granted.loaded.users -= granted.slots
        self.granted.clear()
        await self.engines.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                for thread in (self.writing, self.ending, self.guarding, self.waiting):
                    await thread.close()
                await self.chooser.close()
        await self.database.close()
