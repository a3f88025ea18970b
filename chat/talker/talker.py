"""The talker: claims queued replies, streams each from its engine past the guards, and writes all their text with one
hand. To tickets, whose completions other processes read, it only gives room on its engines.

It holds a lease on what it writes. Stopped or killed, it leaves nothing that another cannot end.
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

from django.conf import settings
from django.db.utils import InterfaceError, OperationalError

from base.database_thread import DatabaseThread
from chat import guards
from chat.engines.engine import Parameters
from chat.errors import Blocked, ChatError, EngineBroken, TalkerGone
from chat.inspection import token_views
from chat.inspection.worker import InspectionWorker
from chat.models import Reply
from chat.prompts.fitting import Prompt
from chat.prompts.history import prompt_for, turns_before
from chat.queue import claims, reaping, replies, tickets
from chat.queue.replies import Ending, NewChunk
from chat.talker.active import Active
from chat.talker.engine_pool import EnginePool, LoadedEngine

logger = logging.getLogger(__name__)

FLUSH_EVERY_S = 0.03
"""From the start of one write to the start of the next: what a write takes is no pause on top of it."""
REPLIES_A_FLUSH = 250
"""Where more are being written they take turns: a piece is then more than one token, and every part of its way has
fewer of them to pass on."""
LEAST_PAUSE_S = 0.005
CLAIM_BUSY_S = 0.05
CLAIM_IDLE_S = 0.1
CHECK_EVERY_S = 0.15
"""How soon a stopped reply's stream is closed, and the room of an ended ticket free."""
RENEW_EVERY_S = 4.0
PAUSE_AFTER_ERROR_S = 0.5


@asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    """A database that is away for a moment costs nothing but time: what was not done is tried again."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        logger.warning("the database is away: %s", error)
        await asyncio.sleep(PAUSE_AFTER_ERROR_S)


@dataclass(frozen=True)
class Granted:
    """A ticket whose completions are read from an engine of this talker, by another process."""

    loaded: LoadedEngine
    slots: int


class Talker:
    def __init__(self) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:12]}"
        self.database = DatabaseThread("talker")
        self.writing = DatabaseThread("chunks")
        """Apart, since who reads waits for every chunk: what is looked for meanwhile holds none of them up."""
        self.ending = DatabaseThread("endings")
        """Apart, since an end costs as much as the chunks of hundreds: nobody's text waits for it."""
        self.guarding = DatabaseThread("guards")
        """Apart, since guards are others' code: a slow one holds up nothing else."""
        self.engines = EnginePool(self.database)
        self.active: dict[int, Active] = {}
        self.granted: dict[UUID, Granted] = {}
        self._unsent: list[NewChunk] = []
        """Chunks that the database has not confirmed: sent again as they are, before anything newer."""
        self._endings: asyncio.Task[None] | None = None
        self._turn = 0

    async def run(self) -> None:
        """Until cancelled; then what is being written ends as interrupted, and every engine is stopped.

        Raises ImproperlyConfigured if there is a guard that can't be loaded.
        """
        guards.guards()
        loops = (self.engines.run(), self._write_on(), self._look_on())
        vital = [asyncio.create_task(loop) for loop in loops]
        looking = asyncio.create_task(InspectionWorker(self.database).run())
        try:
            ended, _ = await asyncio.wait(vital, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in (*vital, looking):
                task.cancel()
            await asyncio.wait([*vital, looking])
            await self._finish()

    async def _write_on(self) -> None:
        while True:
            next_write = time.monotonic() + FLUSH_EVERY_S
            async with _patience():
                await self._flush()
            await asyncio.sleep(max(LEAST_PAUSE_S, next_write - time.monotonic()))

    async def _look_on(self) -> None:
        """What is to be done from time to time, one after the other, since each may leave nothing for the next."""
        due = {self._claim: 0.0, self._check: 0.0, self._renew: 0.0}
        while True:
            for work in due:
                if time.monotonic() >= due[work]:
                    async with _patience():
                        due[work] = time.monotonic() + await work()
            await asyncio.sleep(max(LEAST_PAUSE_S, min(due.values()) - time.monotonic()))

    async def _claim(self) -> float:
        """Starts what is queued while the engine that it waits for has room; seconds until the next look."""
        ready = self.engines.ready()
        for loaded in ready:
            await self._claim_for(loaded)
        return CLAIM_IDLE_S if ready and not (self.active or self.granted) else CLAIM_BUSY_S

    async def _claim_for(self, loaded: LoadedEngine) -> None:
        room = settings.CHAT_ENGINE_SLOTS - loaded.users
        if room <= 0 or loaded not in self.engines.ready():  # the claim before this one took its time
            return
        loaded.users += 1  # while the claim is under way its engine must not be unloaded
        try:
            unnamed = loaded is self.engines.current
            claimed = await self.database(claims.claim, self.owner, loaded.policy, loaded.row, room, unnamed=unnamed)
        finally:
            loaded.users -= 1
        for ticket in claimed.tickets:
            self.granted[ticket.pk] = Granted(loaded, ticket.slots)
            loaded.users += ticket.slots
        for reply in claimed.replies:
            active = self.active[reply.pk] = Active(reply, loaded)
            loaded.users += 1
            active.task = asyncio.create_task(self._answer(active))
            active.task.add_done_callback(partial(self._settle, active))

    async def _check(self) -> float:
        """Closes the streams of replies that need not be written any more; the room of ended tickets is free."""
        if self.active:
            self._abandon(await self.database(replies.let_go, self.owner, list(self.active)))
        if self.granted:
            held = await self.database(tickets.held, self.owner, list(self.granted))
            for pk in self.granted.keys() - held:
                granted = self.granted.pop(pk)
                granted.loaded.users -= granted.slots
        return CHECK_EVERY_S

    async def _renew(self) -> float:
        await self.writing(replies.renew, self.owner)  # rows that writes lock: in one thread neither waits crosswise
        await self.database(reaping.reap, except_owner=self.owner)
        return RENEW_EVERY_S

    async def _answer(self, active: Active) -> None:
        reply = active.reply
        try:
            turns = await self.database(turns_before, reply.message)
            parameters = token_views.recording(Parameters.from_json(reply.parameters), active.loaded.policy)
            wanted, preamble = parameters.max_completion_tokens, len(reply.preamble)
            prompt = await asyncio.to_thread(prompt_for, active.loaded.policy, turns, wanted, preamble, reply.prefix)
            await self.database(replies.note_prompt, self.owner, reply.pk, prompt.tokens, prompt.dropped)
            await self._pass(active, len(active.text))
            await self._write(active, prompt, parameters)
        except Blocked as error:
            self._block(active, error)
        except ChatError as error:
            logger.warning("reply %s: %s: %s", reply.pk, error.code, error.detail)
            try:
                await self._pass(active, len(active.text))
                active.ending = replies.ending_after(reply.pk, error)
            except Blocked as blocked:
                self._block(active, blocked)
        finally:
            await self._record(active)

    async def _write(self, active: Active, prompt: Prompt, parameters: Parameters) -> None:
        """From the engine, past the guards. Raises ChatError."""
        with active.loaded.writing() as note:
            async with aclosing(active.loaded.engine.stream(prompt, parameters)) as pieces:
                async for piece in pieces:
                    note()
                    await self._pass(active, active.take(piece))
                    if piece.finish_reason:
                        await self._pass(active, len(active.text))
                        await self._record(active)
                        active.ending = Ending(
                            active.reply.pk,
                            Reply.State.COMPLETE,
                            finish_reason=piece.finish_reason,
                            prompt_tokens=piece.prompt_tokens or prompt.tokens,
                            completion_tokens=piece.completion_tokens or active.pieces,
                            first_token_at=active.first_token_at,
                        )

    async def _pass(self, active: Active, end: int) -> None:
        """Asks the guards about the text up to `end`, if they have not seen it. Raises Blocked."""
        if end <= active.passed:
            return
        text, conversation = active.text[:end], active.reply.message.conversation
        await guards.in_time(self.guarding(guards.check_reply, text, conversation))
        active.passed = end

    def _block(self, active: Active, error: Blocked) -> None:
        logger.warning("reply %s: %s", active.reply.pk, error)
        active.ending = Ending(
            active.reply.pk,
            Reply.State.BLOCKED,
            blocked_by=error.guard[:120],
            first_token_at=active.first_token_at,
            keep=active.take_back(),
        )

    async def _record(self, active: Active) -> None:
        if tokens := active.tokens:
            active.tokens = []
            await self.database(token_views.record, active.reply.pk, active.reply.prefix, tokens)

    def _settle(self, active: Active, task: asyncio.Task[None]) -> None:
        """Every reply ends, whatever its task died of."""
        active.loaded.users -= 1
        if active.ending is not None or self.active.get(active.reply.pk) is not active:
            return
        if task.cancelled():
            active.ending = replies.ending_after(active.reply.pk, TalkerGone())
            return
        logger.error("reply %s: unforeseen end", active.reply.pk, exc_info=task.exception())
        active.ending = replies.ending_after(active.reply.pk, EngineBroken())

    async def _flush(self, *, of_all: bool = False) -> None:
        """Hands over what is new, and then begins to end those of which nothing more will come."""
        whose = self.active.values() if of_all else self._whose_turn()
        self._unsent = self._unsent or [chunk for active in whose for chunk in active.next_chunks()]
        if self._unsent:
            self._abandon(await self.writing(replies.write, self.owner, self._unsent))
            self._unsent = []
        if self._endings is None or self._endings.done():
            former, self._endings = self._endings, None
            if former is not None:
                former.result()  # what nobody foresaw ends the talker, as it does anywhere in its loop
            endings = [active.ending for active in self.active.values() if active.ending and active.is_handed_over()]
            self._endings = asyncio.create_task(self._end(endings)) if endings else None

    def _whose_turn(self) -> list[Active]:
        turns = max(1, math.ceil(len(self.active) / REPLIES_A_FLUSH))
        self._turn = (self._turn + 1) % turns
        return [active for pk, active in self.active.items() if pk % turns == self._turn]

    async def _end(self, endings: list[Ending]) -> None:
        """One by one, each in a moment of its own. One that the database does not confirm is tried again."""
        for ending in endings:
            async with _patience():
                await self.ending(replies.end, self.owner, ending)
                self.active.pop(ending.reply, None)

    def _abandon(self, ids: set[int]) -> None:
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
        for _ in range(2):  # the first may have been the chunks that were not confirmed
            await self._flush(of_all=True)
            if self._endings is not None:
                await asyncio.wait([self._endings])
        await self.database(replies.abandon, self.owner)
        for granted in self.granted.values():  # others read for them; an engine elsewhere would wait for their ends
            granted.loaded.users -= granted.slots
        self.granted.clear()
        await self.engines.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                for thread in (self.writing, self.ending, self.guarding):
                    await thread.close()
        await self.database.close()
