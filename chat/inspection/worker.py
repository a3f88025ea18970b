"""Background worker of the talker for token views and prompt scores; it works on one request at a time."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from django.db.utils import InterfaceError, OperationalError

from base.database_thread import DatabaseThread
from chat.errors import ChatError, InspectorDown
from chat.inspection import scoring, token_views
from chat.inspection.client import Inspector

T = TypeVar("T")
logger = logging.getLogger(__name__)

POLL_EVERY_S = 0.5
PAUSE_AFTER_ERROR_S = 2.0
CLEAN_UP_EVERY_S = 60.0


class InspectionWorker:
    def __init__(self, database: DatabaseThread) -> None:
        self.database = database
        self.inspector = Inspector()
        self._cleaned_up_at = 0.0

    async def run(self) -> None:
        """Until cancelled; then the inspector is ended."""
        try:
            while True:
                try:
                    idle = not await self.step()
                    await self._clean_up()
                except (OperationalError, InterfaceError) as error:
                    logger.warning("the database is away: %s", error)
                    await asyncio.sleep(PAUSE_AFTER_ERROR_S)
                else:
                    await asyncio.sleep(POLL_EVERY_S if idle else 0)
        finally:
            await self.inspector.close()

    async def step(self) -> bool:
        """Whether there was a request. Every request ends, whatever its computation failed with.

        Token views and scorings take turns: neither waits for all of the others.
        """
        view = await self.database(token_views.next_job)
        if view is not None:
            await self._work_on(f"reply {view.reply}", self._compute_view(view), token_views.fail, view.reply)
        scored = await self.database(scoring.next_job)
        if scored is not None:
            await self._work_on(f"scoring {scored.scoring}", self._score(scored), scoring.fail, scored)
        return view is not None or scored is not None

    async def _compute_view(self, job: token_views.TokenViewJob) -> None:
        encoded = await asyncio.to_thread(token_views.encode, job)
        ids = [number for number, _ in encoded.completion]
        seen = await self.inspector.logprobs(encoded.directory, encoded.prompt, ids)
        tokens = await asyncio.to_thread(token_views.described, encoded, seen)
        await self.database(token_views.store, job, encoded, tokens)

    async def _score(self, job: scoring.ScoringJob) -> None:
        encoded = await asyncio.to_thread(scoring.encode, job)
        ids = [number for number, _ in encoded.completion]
        seen = await self.inspector.logprobs(encoded.directory, encoded.prompt, ids, job.top)
        await self.database(scoring.store, job, await asyncio.to_thread(token_views.described, encoded, seen))

    async def _work_on(
        self, what: str, work: Awaitable[None], fail: Callable[[T, ChatError], None], request: T
    ) -> None:
        try:
            await work
        except (OperationalError, InterfaceError):
            raise
        except ChatError as error:
            logger.warning("%s failed: %s: %s", what, error.code, error.detail)
            await self.database(fail, request, error)
        except Exception:
            logger.exception("%s failed", what)
            await self.database(fail, request, InspectorDown())

    async def _clean_up(self) -> None:
        if time.monotonic() - self._cleaned_up_at > CLEAN_UP_EVERY_S:
            self._cleaned_up_at = time.monotonic()
            await self.database(scoring.remove_abandoned)
