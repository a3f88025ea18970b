"""One of many websockets: a reader without task, queue or wait, a fifth cheaper than the library's client."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self, cast

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from tests.person import Person

OPENS_WITHIN_S = 30.0
ENDS = (Opcode.TEXT, Opcode.CONT)


class Line(asyncio.Protocol):
    """Calls `hear` with each event as it arrives, and `break_off` once if the line ends before it is closed here."""

    def __init__(
        self,
        person: Person,
        conversation: str,
        hear: Callable[[dict[str, Any]], None],
        break_off: Callable[[Exception], None],
    ) -> None:
        self._uri = parse_uri(person.address_of(conversation))
        self._protocol = ClientProtocol(self._uri, origin=person.url, max_size=None)  # type: ignore[arg-type]
        self._cookies = person.cookies()
        self._hear, self._break_off = hear, break_off
        self._parts: list[bytes] = []
        self._is_closing = False
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def opened(cls, *args: Any) -> Self:
        """Raises OSError, TimeoutError or one of websockets' exceptions."""
        line = cls(*args)
        async with asyncio.timeout(OPENS_WITHIN_S):
            await asyncio.get_running_loop().create_connection(lambda: line, line._uri.host, line._uri.port)
            await line._opened
        return line

    def send(self, **event: Any) -> None:
        self._protocol.send_text(json.dumps(event).encode())
        self._flush()

    def close(self) -> None:
        self._is_closing = True
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own are of no class of asyncio
        request = self._protocol.connect()
        request.headers.update(Headers(Cookie=self._cookies))
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
            elif isinstance(event, Response) and self._protocol.handshake_exc is None:
                self._opened.set_result(None)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.receive_eof()
        problem = exc or self._protocol.handshake_exc or ConnectionClosedError(None, None)
        if not self._opened.done():
            self._opened.set_exception(problem)
        elif not self._is_closing:
            self._break_off(problem)

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in ENDS:  # pings are answered by the protocol
            return
        self._parts.append(bytes(frame.data))
        if frame.fin:
            whole, self._parts = b"".join(self._parts), []
            self._hear(json.loads(whole))

    def _flush(self) -> None:
        if said := self._protocol.data_to_send():
            self._transport.write(b"".join(said))
