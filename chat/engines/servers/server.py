"""One server: whether it answers, what it holds, and how many of our streams it has."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from base.model_server import ListedModel
from chat.engines.client import OpenAIClient
from chat.engines.engine import Piece
from chat.engines.servers import adapters
from chat.engines.servers.adapters import ServedAdapter
from chat.engines.servers.troubles import AdapterRefused, Trouble
from chat.errors import ChatError, EngineDown, ModelMissing

WATCH_EVERY_S = 2.0
SILENT_LIMIT_S = 12.0
"""A server that answers no look and sends no piece for this long is given up, with the streams that wait for it."""
REFUSED_FOR_S = 30.0
"""Pause before a server is asked again to load what it refused."""


class RemoteServer:
    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        self.client = OpenAIClient(self.url, key, keep_alive=True)
        self.listed: dict[str, ListedModel] = {}
        """What it holds, by name, when it was last looked at."""
        self.streams = 0
        self.error: Trouble | None = None
        """What was wrong when it last failed."""
        self.refusals: dict[str, Trouble] = {}
        """Policy -> why the server does not take it."""
        self.looked_at = 0.0
        """On the clock of time.monotonic; 0: never."""
        self._answered_at = time.monotonic()
        self._answers = False
        self._is_doubted = False
        """A stream failed since the last look."""
        self._looking: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._refused_at: dict[str, float] = {}

    @property
    def is_up(self) -> bool:
        """It answered the last look, and streams have not failed since then, nor in a row before."""
        return self._answers and not self._is_doubted and not self.client.breaker.is_open

    @property
    def trouble(self) -> Trouble | None:
        """Why it is not up; None if it is."""
        return None if self.is_up else self.error or Trouble("streams_failed" if self.looked_at else "unseen")

    def holds(self, model: str) -> bool:
        return self.is_up and model in self.listed

    async def look(self) -> None:
        """Finds out whether it answers and what it holds; whoever looks at the same time shares one look."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        models = await self.client.models()
        # vLLM lists its models though the process that generates is gone; others do not have this address.
        status = await self.client.health() if models is not None else None
        self.looked_at = time.monotonic()
        if models is None or status is None or status >= 500:
            self._fail(Trouble("silent") if models is None or status is None else Trouble("unwell", str(status)))
            return
        if not self._answers:  # it may be another process, which has none of the adapters and none of the failures
            self.client.breaker.reset()
            self.client.is_given_up = False
            self._refused_at.clear()
        self._answers, self._is_doubted, self.listed, self.error = True, False, models, None
        self._answered_at = self.looked_at
        self.refusals = {name: why for name, why in self.refusals.items() if name not in models}

    def _fail(self, error: Trouble) -> None:
        self._answers, self.error, self.listed = False, error, {}
        if self.streams and time.monotonic() - self._answered_at > SILENT_LIMIT_S:
            self.client.give_up()

    def load(self, adapter: ServedAdapter) -> asyncio.Task[None] | None:
        """Begins to put the policy on the server; None where that is of no use now."""
        loading = self._loading.get(adapter.name)
        if loading is not None and not loading.done():
            return loading
        if not self.is_up or adapter.name in self.listed or self._is_refused(adapter.name):
            return None
        task = self._loading[adapter.name] = asyncio.create_task(self._load(adapter))
        return task

    async def _load(self, adapter: ServedAdapter) -> None:
        if adapter.base not in self.listed:
            self.refuse(adapter.name, Trouble("no_base", adapter.base))
            return
        try:
            await adapters.load(self.client, adapter)
        except AdapterRefused as error:
            self.refuse(adapter.name, error.trouble)
        except ChatError as error:
            self.refuse(adapter.name, Trouble("other", error.detail))
        else:
            if self._looking is not None and not self._looking.done():
                await asyncio.wait([self._looking])  # it may have begun before the adapter was there
            await self.look()

    def refuse(self, name: str, reason: Trouble) -> None:
        self.refusals[name], self._refused_at[name] = reason, time.monotonic()

    def _is_refused(self, name: str) -> bool:
        return time.monotonic() - self._refused_at.get(name, -REFUSED_FOR_S) < REFUSED_FOR_S

    async def unload(self, name: str) -> None:
        """Raises EngineDown, EngineRefused."""
        await adapters.unload(self.client, name)
        self.listed.pop(name, None)

    async def stream(self, path: str, body: dict[str, Any], model: str) -> AsyncGenerator[Piece, None]:
        """`model`: what each event has to be stamped with; empty: anything. Raises EngineError, TooLong."""
        self.streams += 1
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        try:
            async with aclosing(self.client.stream(path, body, model=model)) as pieces:
                async for piece in pieces:
                    self._answered_at = time.monotonic()
                    yield piece
        except ModelMissing:
            self.listed.pop(str(body.get("model")), None)  # another process has taken its place since the last look
            raise
        except EngineDown as error:
            self._is_doubted, self.error = True, Trouble("other", error.detail)
            raise
        finally:
            self.streams -= 1

    async def _watch(self) -> None:
        """While it has streams: else nobody might look at it before their patience ends."""
        self._answered_at = time.monotonic()
        while self.streams:
            await asyncio.sleep(WATCH_EVERY_S)
            if time.monotonic() - self.looked_at > WATCH_EVERY_S / 2:
                await self.look()

    async def close(self) -> None:
        tasks = [task for task in (self._looking, self._watching, *self._loading.values()) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.client.close()
