"""Requests to a server on this machine, whose streamed answer is read from the socket at a set pace.

A server sends each token by itself. To wake up for each, where the model has every core, costs more of its speed than
all the rest of the site; so what comes meanwhile waits in the socket, and one read takes several tokens. The end is
not waited for: the kernel wakes who reads at a set amount (SO_RCVLOWAT), or as soon as the connection ends. A system
that knows no such amount wakes for every token.

h11 parses; httpcore, which has it inside, takes each token through five generators more. A token of one stream of 90
a second costs the reading process 66 us of processor time so, 80 through httpcore, and 55 to 63 by a parser of our
own; one of 16 streams of 22 a second 46 to 49, 56, and 35 to 40; one of 16 of 90 a second 18, 24, and 13.
"""

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit

import h11

from chat.errors import EngineBroken, EngineDown

READ_EVERY_S = 0.08
"""The eye takes it for a steady flow. All streams of a process are read at the same moments."""
LONGEST_READ = 1 << 20
"""Bytes; more than a server sends between two reads."""
AT_ONCE = 1


class LocalResponse:
    """An answer on a connection of its own."""

    status_code: int
    headers: dict[str, str]

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._socket = writer.get_extra_info("socket")
        self._parser = h11.Connection(h11.CLIENT)
        self._is_paced = False

    async def begin(self, request: h11.Request, body: bytes) -> None:
        """Sends the request, and reads the head of the answer. Raises EngineDown, EngineBroken."""
        events = (request, h11.Data(data=body), h11.EndOfMessage())
        self._writer.write(b"".join(self._parser.send(event) or b"" for event in events))
        while not isinstance(event := self._next_event(), h11.Response):
            if event is h11.NEED_DATA:
                await self._read()
        self.status_code = event.status_code
        self.headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}

    async def aiter_bytes(self) -> AsyncGenerator[bytes, None]:
        """The body as it is read. Raises EngineDown where the connection ends before it, EngineBroken."""
        while True:
            parts = []
            while isinstance(event := self._next_event(), h11.Data):
                parts.append(event.data)
            if parts:
                self._begin_pace()
                yield b"".join(parts)
            if event is not h11.NEED_DATA:
                return
            await self._read()

    async def aclose(self) -> None:
        self._writer.transport.abort()

    def _next_event(self) -> Any:
        try:
            return self._parser.next_event()
        except h11.RemoteProtocolError as error:
            _, has_ended = self._parser.trailing_data
            raise (EngineDown if has_ended else EngineBroken)(str(error)) from error

    async def _read(self) -> None:
        """Hands the parser all that has arrived; once the body has begun, at the next common moment or at the end."""
        if self._is_paced:
            wait_s = READ_EVERY_S - time.monotonic() % READ_EVERY_S
            asyncio.get_running_loop().call_later(wait_s, self._wake_from, AT_ONCE)
        try:
            received = await self._reader.read(LONGEST_READ)
        except OSError as error:
            raise EngineDown(f"{type(error).__name__}: {error}") from error
        if self._is_paced:
            self._wake_from(LONGEST_READ)
        self._parser.receive_data(received)

    def _begin_pace(self) -> None:
        if not self._is_paced:
            self._is_paced = True
            self._wake_from(LONGEST_READ)

    def _wake_from(self, size: int) -> None:
        """The loop reads the socket from now on as soon as so many bytes are there."""
        if not self._writer.transport.is_closing():
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)


async def post(url: str, key: str, body: dict[str, Any]) -> LocalResponse:
    """Sends JSON; returns when the head of the answer is there. Raises EngineDown, EngineBroken."""
    address, content = urlsplit(url), json.dumps(body).encode()
    headers = {
        "Host": address.netloc,
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "Connection": "close",
    }
    request = h11.Request(method="POST", target=address.path, headers=list(headers.items()))
    try:
        reader, writer = await asyncio.open_connection(address.hostname, address.port or 80, limit=LONGEST_READ)
    except OSError as error:
        raise EngineDown(f"{type(error).__name__}: {error}") from error
    response = LocalResponse(reader, writer)
    try:
        await response.begin(request, content)
    except BaseException:  # also when cancelled: the server must not write for nobody
        await response.aclose()
        raise
    return response
