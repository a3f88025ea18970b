"""The talker: claims queued replies, streams each from the engine, and writes all their text with one hand.

It holds a lease on what it writes. Stopped or killed, it leaves nothing that another cannot end.
"""

import asyncio
import logging
import os
import socket
import time
import uuid
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db.utils import InterfaceError, OperationalError
from django.utils import timezone

from chat import replies
from chat.database import DatabaseThread
from chat.engines.engine import Parameters
from chat.engines.keeper import Keeper, Kept
from chat.errors import ChatError, EngineBroken, TalkerGone
from chat.history import prompt_for, turns_before
from chat.models import Reply
from chat.replies import Ending, Written

logger = logging.getLogger(__name__)

FLUSH_EVERY_S = 0.04
CLAIM_BUSY_S = 0.05
CLAIM_IDLE_S = 0.1
CHECK_EVERY_S = 0.15
"""How soon a stopped reply's stream is closed."""
RENEW_EVERY_S = 4.0
PAUSE_AFTER_ERROR_S = 0.5


@dataclass(eq=False)
class Active:
    """A reply in the making."""

    reply: Reply
    kept: Kept
    task: asyncio.Task[None] | None = None
    waiting: list[str] = field(default_factory=list)
    """Text that is not handed to the database yet."""
    seq: int = 0
    pieces: int = 0
    first_token_at: datetime | None = None
    ending: Ending | None = None

    def take(self, text: str) -> None:
        if text:
            self.first_token_at = self.first_token_at or timezone.now()
            self.pieces += 1
            self.waiting.append(text)

    def next_chunk(self) -> Written | None:
        if not self.waiting:
            return None
        self.seq += 1
        chunk = Written(self.reply.pk, self.seq, "".join(self.waiting))
        self.waiting.clear()
        return chunk


class Talker:
    def __init__(self) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        self.database = DatabaseThread("talker")
        self.keeper = Keeper(self.database)
        self.active: dict[int, Active] = {}
        self._unsent: tuple[list[Written], list[Ending]] = ([], [])
        """A batch that the database has not confirmed: sent again as it is, before anything newer."""
        self._due = {self._claim: 0.0, self._check: 0.0, self._renew: 0.0}

    async def run(self) -> None:
        """Until cancelled; then what is being written ends as interrupted, and every engine is stopped."""
        keeping = asyncio.create_task(self.keeper.run())
        try:
            while not keeping.done():
                await self.tick()
                await asyncio.sleep(FLUSH_EVERY_S)
            await keeping
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            await self._finish()

    async def tick(self) -> None:
        """Everything that is due. A database that is away for a moment costs nothing but time."""
        try:
            await self._flush()
            for work, due in self._due.items():
                if time.monotonic() >= due:
                    self._due[work] = time.monotonic() + await work()
        except (OperationalError, InterfaceError) as error:
            logger.warning("the database is away: %s", error)
            await asyncio.sleep(PAUSE_AFTER_ERROR_S)

    async def _claim(self) -> float:
        """Starts queued replies while the engine that they wait for has room; seconds until the next look."""
        ready = self.keeper.ready()
        for kept in ready:
            await self._claim_for(kept)
        return CLAIM_IDLE_S if ready and not self.active else CLAIM_BUSY_S

    async def _claim_for(self, kept: Kept) -> None:
        room = settings.CHAT_ENGINE_SLOTS - kept.users
        if room <= 0 or kept not in self.keeper.ready():  # the claim before this one took its time
            return
        kept.users += 1  # while the claim is under way its engine must not be unloaded
        try:
            unnamed = kept is self.keeper.current
            claimed = await self.database(replies.claim, self.owner, kept.policy, room, unnamed=unnamed)
        finally:
            kept.users -= 1
        for reply in claimed:
            active = self.active[reply.pk] = Active(reply, kept, seq=int(bool(reply.prefix)))
            kept.users += 1
            active.task = asyncio.create_task(self._answer(active))
            active.task.add_done_callback(partial(self._settle, active))

    async def _check(self) -> float:
        """Closes the streams of replies that were stopped, or that are no longer this talker's."""
        if self.active:
            self._abandon(await self.database(replies.let_go, self.owner, list(self.active)))
        return CHECK_EVERY_S

    async def _renew(self) -> float:
        await self.database(replies.renew, self.owner)
        await self.database(replies.reap, except_owner=self.owner)
        return RENEW_EVERY_S

    async def _answer(self, active: Active) -> None:
        reply = active.reply
        try:
            turns = await self.database(turns_before, reply.message)
            parameters = Parameters.from_json(reply.parameters)
            wanted, kept = parameters.max_completion_tokens, len(reply.preamble)
            prompt = await asyncio.to_thread(prompt_for, active.kept.policy, turns, wanted, kept)
            async with aclosing(active.kept.engine.stream(prompt, parameters)) as pieces:
                async for piece in pieces:
                    active.take(piece.text)
                    if piece.finish_reason:
                        active.ending = Ending(
                            reply.pk,
                            Reply.State.COMPLETE,
                            finish_reason=piece.finish_reason,
                            prompt_tokens=piece.prompt_tokens or prompt.tokens,
                            completion_tokens=piece.completion_tokens or active.pieces,
                            first_token_at=active.first_token_at,
                        )
        except ChatError as error:
            logger.warning("reply %s: %s: %s", reply.pk, error.code, error.detail)
            active.ending = replies.ending_after(reply.pk, error)

    def _settle(self, active: Active, task: asyncio.Task[None]) -> None:
        """Every reply ends, whatever its task died of."""
        active.kept.users -= 1
        if active.ending is not None or self.active.get(active.reply.pk) is not active:
            return
        if task.cancelled():
            active.ending = replies.ending_after(active.reply.pk, TalkerGone())
            return
        logger.error("reply %s: unforeseen end", active.reply.pk, exc_info=task.exception())
        active.ending = replies.ending_after(active.reply.pk, EngineBroken())

    async def _flush(self) -> None:
        if not any(self._unsent):
            self._unsent = self._batch()
        chunks, endings = self._unsent
        if chunks or endings:
            self._abandon(await self.database(replies.write, self.owner, chunks, endings))
            self._unsent = ([], [])
            for ending in endings:
                self.active.pop(ending.reply, None)

    def _batch(self) -> tuple[list[Written], list[Ending]]:
        every = list(self.active.values())
        chunks = [chunk for active in every if (chunk := active.next_chunk())]
        return chunks, [active.ending for active in every if active.ending]

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
        await self._flush()
        await self._flush()  # the first may have been the batch that was not confirmed
        await self.database(replies.abandon, self.owner)
        await self.keeper.close()
        await self.database.close()
