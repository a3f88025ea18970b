"""Requests to a server on this machine, whose streamed answer is read from the socket at a set pace.

A server sends each token by itself. To wake up for each, where the model has every core, costs more of its speed than
all the rest of the site; so what comes meanwhile waits in the socket, and one read takes several tokens.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from chat.errors import EngineBroken, EngineDown

READ_EVERY_S = 0.08
"""The eye takes it for a steady flow. All streams of a process are read at the same moments."""
LONGEST_HEAD = 1 << 16
LONGEST_CHUNK = 1 << 20


class _Connection(asyncio.Protocol):
    """Collects what arrives. Once it is paced, the socket is read at the next common moment and not before."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.has_ended = False
        self.is_paced = False
        self._news = asyncio.Event()
        self._next_read: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._news.set()
        if self.is_paced:
            self.transport.pause_reading()
            loop = asyncio.get_running_loop()
            self._next_read = loop.call_later(READ_EVERY_S - time.monotonic() % READ_EVERY_S, self._read_again)

    def _read_again(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.has_ended = True
        self._news.set()

    async def more(self) -> None:
        """Waits until more has arrived than the last time, or everything has."""
        if not self.has_ended:
            await self._news.wait()
        self._news.clear()

    def close(self) -> None:
        if self._next_read is not None:
            self._next_read.cancel()
        self.transport.abort()


@dataclass
class LocalResponse:
    """An answer whose head has been read."""

    connection: _Connection
    status_code: int
    headers: dict[str, str]
    left: int | None
    """Bytes of the body that have not arrived; None where it ends with the connection or its last chunk."""

    async def aiter_bytes(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives. Raises EngineDown where the connection ends before it, EngineBroken."""
        is_chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        while True:
            body, is_over = _take_chunks(self.connection.received) if is_chunked else self._take_all()
            if body:
                self.connection.is_paced = True
                yield body
            if is_over:
                return
            if self.connection.has_ended:
                if is_chunked or self.left:
                    raise EngineDown("the connection ended before the answer did")
                return
            await self.connection.more()

    def _take_all(self) -> tuple[bytes, bool]:
        body = bytes(self.connection.received)
        self.connection.received.clear()
        if self.left is not None:
            self.left -= len(body)
        return body, self.left is not None and self.left <= 0

    async def aclose(self) -> None:
        self.connection.close()


def _take_chunks(received: bytearray) -> tuple[bytes, bool]:
    """The whole chunks that have arrived, and whether the last one has."""
    parts, at, is_over = [], 0, False
    while not is_over and (line := received.find(b"\r\n", at)) >= 0:
        size = _size_of_chunk(bytes(received[at:line]))
        end = line + 2 + size
        if len(received) < end + 2:
            break
        parts.append(bytes(received[line + 2 : end]))
        at, is_over = end + 2, size == 0
    del received[:at]
    return b"".join(parts), is_over


def _size_of_chunk(line: bytes) -> int:
    try:
        size = int(line.split(b";")[0], 16)
    except ValueError as error:
        raise EngineBroken(f"a chunk of the answer begins with {line[:40]!r}") from error
    if not 0 <= size <= LONGEST_CHUNK:
        raise EngineBroken("a chunk of the answer is too long")
    return size


async def post(url: str, key: str, body: dict[str, Any]) -> LocalResponse:
    """Sends JSON; returns when the head of the answer is there. Raises EngineDown, EngineBroken."""
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(_Connection, address.hostname or "", address.port or 80)
    except OSError as error:
        raise EngineDown(f"{type(error).__name__}: {error}") from error
    try:
        connection.transport.write(_request(address.netloc, address.path, key, json.dumps(body).encode()))
        head = await _head(connection)
    except BaseException:  # also when cancelled: the server must not write for nobody
        connection.close()
        raise
    return _parsed(head, connection)


def _request(host: str, path: str, key: str, body: bytes) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _head(connection: _Connection) -> bytes:
    """Up to the empty line, which is taken away with it."""
    while (end := connection.received.find(b"\r\n\r\n")) < 0:
        if connection.has_ended:
            raise EngineDown("the connection ended before the answer began")
        if len(connection.received) > LONGEST_HEAD:
            raise EngineBroken("the head of the answer is too long")
        await connection.more()
    head = bytes(connection.received[:end])
    del connection.received[: end + 4]
    return head


def _parsed(head: bytes, connection: _Connection) -> LocalResponse:
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    try:
        version, number = status.split(" ", 2)[:2]
        if not version.startswith("HTTP/1."):
            raise ValueError(version)
        length = headers.get("content-length")
        return LocalResponse(connection, int(number), headers, None if length is None else int(length))
    except ValueError as error:
        connection.close()
        raise EngineDown(f"no answer in HTTP: {status[:80]!r}") from error
