"""Answers what people want to see inside of replies, one after the other, beside the talker's other work."""

import asyncio
import logging

from django.db.utils import InterfaceError, OperationalError

from chat import inside
from chat.database import DatabaseThread
from chat.engines.inspecting import Inspector
from chat.errors import ChatError, InspectorDown

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
PAUSE_AFTER_ERROR_S = 2.0


class Looks:
    def __init__(self, database: DatabaseThread) -> None:
        self.database = database
        self.inspector = Inspector()

    async def run(self) -> None:
        """Until cancelled; then the inspector is ended."""
        try:
            while True:
                try:
                    idle = not await self.step()
                except (OperationalError, InterfaceError) as error:
                    logger.warning("the database is away: %s", error)
                    await asyncio.sleep(PAUSE_AFTER_ERROR_S)
                else:
                    await asyncio.sleep(LOOK_EVERY_S if idle else 0)
        finally:
            await self.inspector.close()

    async def step(self) -> bool:
        """Whether there was a request. Every request ends, whatever its computation died of."""
        question = await self.database(inside.next_question)
        if question is None:
            return False
        try:
            encoded = await asyncio.to_thread(inside.encode, question)
            ids = [number for number, _ in encoded.completion]
            seen = await self.inspector.look(encoded.directory, encoded.prompt, ids)
            tokens = await asyncio.to_thread(inside.described, encoded, seen)
            await self.database(inside.answer, question, encoded, tokens)
        except (OperationalError, InterfaceError):
            raise
        except ChatError as error:
            logger.warning("reply %s can't be looked into: %s: %s", question.reply, error.code, error.detail)
            await self.database(inside.fail, question.reply, error)
        except Exception:
            logger.exception("reply %s can't be looked into", question.reply)
            await self.database(inside.fail, question.reply, InspectorDown())
        return True
