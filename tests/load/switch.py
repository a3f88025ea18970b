"""A service behind a forwarder of connections that can be taken away and brought back, as a cut cable would."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self


class Switch:
    """Listens on `port` of this machine and forwards to the service. `take_away` breaks every connection and refuses
    new ones until `bring_back`."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.bring_back()
        return self

    def __exit__(self, *exception: object) -> None:
        self.take_away()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def bring_back(self) -> None:
        self._wait_for(self._listen())

    def take_away(self) -> None:
        self._wait_for(self._cut())

    def _wait_for(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(lambda: _End(self), "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for transport in list(self._open):
            transport.abort()

    async def connect(self, near: "_End") -> None:
        try:
            await self._loop.create_connection(lambda: _End(self, near), *self._target)
        except OSError:
            near.transport.abort()


class _End(asyncio.Protocol):
    """One side of a connection; the far side is made when the near one is there."""

    def __init__(self, switch: Switch, other: "_End | None" = None) -> None:
        self._switch, self._other, self._early = switch, other, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._switch._open.add(transport)
        if self._other is None:
            self._connecting = asyncio.ensure_future(self._switch.connect(self))
        else:
            self._other.join(self)

    def join(self, far: "_End") -> None:
        self._other = far
        far.transport.write(self._early)

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._early += data
        else:
            self._other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._switch._open.discard(self.transport)
        if self._other is not None:
            self._other.transport.close()
