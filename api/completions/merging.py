"""Merges several streams into one, for a request with several prompts."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def merge(streams: Sequence[AsyncGenerator[T, None]], at_once: int) -> AsyncGenerator[T, None]:
    """Yields items of all streams as they arrive; the first failure, or closing this generator, ends all of them."""
    items: asyncio.Queue[tuple[T, ...]] = asyncio.Queue()  # an empty tuple: no more will come
    limit = asyncio.Semaphore(at_once)

    async def pump(stream: AsyncGenerator[T, None]) -> None:
        async with limit, aclosing(stream):
            async for item in stream:
                items.put_nowait((item,))

    async def pump_all() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for stream in streams:
                    group.create_task(pump(stream))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        finally:
            items.put_nowait(())

    pumping = asyncio.create_task(pump_all())
    try:
        while item := await items.get():
            yield item[0]
        await pumping
    finally:
        pumping.cancel()
        await asyncio.wait([pumping])
