"""A talker that runs in the event loop of a test, replies that it is asked for, and how they end."""

import asyncio
from contextlib import asynccontextmanager, suppress

from asgiref.sync import sync_to_async

from chat.models import Chunk, Conversation, Message, Reply
from chat.queue import replies
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


@sync_to_async
def ask(owner, policy=None):
    room = Conversation.objects.create(owner=owner)
    message = Message.objects.create(conversation=room, role="user", text="Hi")
    return replies.queue(message, {}, policy=policy)


async def ended(reply, timeout=10):
    async with asyncio.timeout(timeout):
        while True:
            row = await Reply.objects.select_related("policy", "message").aget(pk=reply.pk)
            if not row.is_live:
                return row
            await asyncio.sleep(0.02)


async def until(condition, timeout=10):
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.02)


async def ready(talker, policy=None, timeout=20):
    async with asyncio.timeout(timeout):
        while (loaded := talker.engines.current) is None or (policy and loaded.policy.pk != policy.pk):
            await asyncio.sleep(0.02)
    return loaded


async def assert_whole():
    """Promises 2 and 3: everything ended, text is the concatenation of contiguous chunks."""
    async for reply in Reply.objects.select_related("message"):
        assert not reply.is_live
        chunks = [chunk async for chunk in Chunk.objects.filter(reply=reply).order_by("seq")]
        assert [chunk.seq for chunk in chunks] == list(range(1, reply.last_seq + 1))
        assert reply.message.text == "".join(chunk.text for chunk in chunks)
