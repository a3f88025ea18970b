"""All servers of the settings, as one event loop sees them: which hold a policy, and which has room for a stream."""

import asyncio
import time
from collections.abc import Collection
from typing import ClassVar
from weakref import WeakKeyDictionary

from django.conf import settings

from chat.engines.servers.adapters import ServedAdapter
from chat.engines.servers.server import RemoteServer

FRESH_S = 5.0
"""How long what was seen of a server is taken for true before a stream is sent there."""
PATIENCE_S = 2.0
"""How long one waits for servers that are looked at; what is not known by then counts as not answering."""


class ServerPool:
    """Shared by the engines of an event loop, and closed when the last of them leaves."""

    _of_loops: ClassVar["WeakKeyDictionary[asyncio.AbstractEventLoop, ServerPool]"] = WeakKeyDictionary()

    def __init__(self) -> None:
        self.servers = [RemoteServer(url, settings.CHAT_ENGINE_KEY) for url in settings.CHAT_ENGINE_URLS]
        self._members: set[object] = set()

    @classmethod
    def join(cls, member: object) -> "ServerPool":
        """The pool of the running loop, which stays open until the member leaves."""
        loop = asyncio.get_running_loop()
        pool = cls._of_loops.get(loop)
        if pool is None:
            pool = cls._of_loops[loop] = cls()
        pool._members.add(member)
        return pool

    async def leave(self, member: object) -> None:
        self._members.discard(member)
        if not self._members and self._of_loops.get(asyncio.get_running_loop()) is self:
            del self._of_loops[asyncio.get_running_loop()]
            for server in self.servers:
                await server.close()

    async def look(self, max_age_s: float = 0.0) -> None:
        """Looks at the servers that were not looked at for so long; one that hangs keeps nobody waiting."""
        due = [server for server in self.servers if time.monotonic() - server.looked_at >= max_age_s]
        looks = [asyncio.ensure_future(server.look()) for server in due]
        if looks:
            await asyncio.wait(looks, timeout=PATIENCE_S)
            for look in looks:
                look.cancel()  # of the waiting alone: the look itself goes on

    def loading(self, adapter: ServedAdapter) -> list[asyncio.Task[None]]:
        """Begins to put the policy on every server that lacks it; what is under way."""
        return [task for server in self.servers if (task := server.load(adapter)) is not None]

    def up(self) -> list[RemoteServer]:
        return [server for server in self.servers if server.is_up]

    def holding(self, model: str) -> list[RemoteServer]:
        return [server for server in self.servers if server.holds(model)]

    @staticmethod
    def emptiest(servers: Collection[RemoteServer], but: Collection[RemoteServer] = ()) -> RemoteServer | None:
        """The one with the fewest of our streams; None where there is none."""
        return min((one for one in servers if one not in but), key=lambda server: server.streams, default=None)
