"""A talker that runs in the event loop of a test."""

import asyncio
from contextlib import asynccontextmanager, suppress

from chat.talker.talker import Talker


@asynccontextmanager
async def talking():
    """A talker beside the test; its replies end as interrupted when the block does."""
    talker = Talker()
    task = asyncio.create_task(talker.run())
    try:
        yield talker
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
