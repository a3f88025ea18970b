"""Answers what people want to see inside of replies and what programs want scored, one after the other, beside the
talker's other work."""

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

LOOK_EVERY_S = 0.5
PAUSE_AFTER_ERROR_S = 2.0
TIDY_EVERY_S = 60.0


class InspectionWorker:
    def __init__(self, database: DatabaseThread) -> None:
        self.database = database
        self.inspector = Inspector()
        self._tidied_at = 0.0

    async def run(self) -> None:
        """Until cancelled; then the inspector is ended."""
        try:
            while True:
                try:
                    idle = not await self.step()
                    await self._tidy()
                except (OperationalError, InterfaceError) as error:
                    logger.warning("the database is away: %s", error)
                    await asyncio.sleep(PAUSE_AFTER_ERROR_S)
                else:
                    await asyncio.sleep(LOOK_EVERY_S if idle else 0)
        finally:
            await self.inspector.close()

    async def step(self) -> bool:
        """Whether there was a request. Every request ends, whatever its computation died of.

        People and programs take turns: neither waits for all of the others.
        """
        question = await self.database(token_views.next_job)
        if question is not None:
            await self._answer(f"reply {question.reply}", self._look(question), token_views.fail, question.reply)
        asked = await self.database(scoring.next_job)
        if asked is not None:
            await self._answer(f"scoring {asked.scoring}", self._score(asked), scoring.fail, asked)
        return question is not None or asked is not None

    async def _look(self, question: token_views.TokenViewJob) -> None:
        encoded = await asyncio.to_thread(token_views.encode, question)
        ids = [number for number, _ in encoded.completion]
        seen = await self.inspector.look(encoded.directory, encoded.prompt, ids)
        tokens = await asyncio.to_thread(token_views.described, encoded, seen)
        await self.database(token_views.answer, question, encoded, tokens)

    async def _score(self, question: scoring.ScoringJob) -> None:
        encoded = await asyncio.to_thread(scoring.encode, question)
        ids = [number for number, _ in encoded.completion]
        seen = await self.inspector.look(encoded.directory, encoded.prompt, ids, question.top)
        await self.database(scoring.answer, question, await asyncio.to_thread(token_views.described, encoded, seen))

    async def _answer(
        self, what: str, work: Awaitable[None], fail: Callable[[T, ChatError], None], request: T
    ) -> None:
        try:
            await work
        except (OperationalError, InterfaceError):
            raise
        except ChatError as error:
            logger.warning("%s can't be looked into: %s: %s", what, error.code, error.detail)
            await self.database(fail, request, error)
        except Exception:
            logger.exception("%s can't be looked into", what)
            await self.database(fail, request, InspectorDown())

    async def _tidy(self) -> None:
        if time.monotonic() - self._tidied_at > TIDY_EVERY_S:
            self._tidied_at = time.monotonic()
            await self.database(scoring.remove_forgotten)
