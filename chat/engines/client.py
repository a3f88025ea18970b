"""Client of one OpenAI-compatible server.

Timeouts limit the connection, the pause between two lines and the whole request. Closing the generator closes the
connection, by which such servers notice that nobody reads any more. A server that is known to have fallen silent can
be given up: whoever waits for it is told at once.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from base.model_server import ServerClient
from chat.engines import local_http
from chat.engines.engine import Piece
from chat.engines.events import EventReader, failure_of
from chat.engines.local_http import LocalResponse
from chat.errors import EngineBroken, EngineDown, EngineError, EngineRefused, EngineTimeout

LONGEST_LINE = 1 << 20
"""Bytes of a line of the stream; no server has a reason to send more."""


@dataclass(frozen=True)
class Timeouts:
    connect_s: float = 5.0
    first_s: float = 120.0
    """Until the answer begins, for a long prompt behind other long prompts."""
    between_s: float = 30.0
    total_s: float = 600.0


@dataclass
class Breaker:
    """Circuit breaker: after `limit` failures in a row refuses requests for `pause_s`, then lets one through."""

    limit: int = 5
    pause_s: float = 15.0
    failures: int = 0
    closed_until: float = field(default=0.0)

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self.closed_until

    def reset(self) -> None:
        self.failures, self.closed_until = 0, 0.0

    def check(self) -> None:
        wait_s = self.closed_until - time.monotonic()
        if wait_s > 0:
            raise EngineDown("too many failures in a row", retry_after_s=wait_s)

    def report(self, error: EngineError | None) -> None:
        if isinstance(error, EngineRefused):
            error = None  # the server did answer
        self.failures = self.failures + 1 if error else 0
        if self.failures >= self.limit:
            self.closed_until = time.monotonic() + self.pause_s


class OpenAIClient(ServerClient):
    """Client of one server, for several tasks at a time."""

    def __init__(self, url: str, key: str, *, keep_alive: bool, timeouts: Timeouts = Timeouts()) -> None:
        self.timeouts = timeouts
        self.breaker = Breaker()
        self.is_given_up = False
        """Set while the server is known to answer nobody: what waits for it fails."""
        self._limits: set[asyncio.Timeout] = set()
        # llama.cpp's server closes idle connections without notice, so the next request on one fails: none is kept.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20 if keep_alive else 0)
        timeout = httpx.Timeout(None, connect=timeouts.connect_s, pool=timeouts.connect_s)
        super().__init__(url, key, timeout=timeout, limits=limits)

    async def stream(
        self, path: str, body: dict[str, Any], n: int = 1, *, model: str = ""
    ) -> AsyncGenerator[Piece, None]:
        """Pieces of the completion, or of `n` of them; the last of each, and only that, has a finish reason.

        `model`: the name that the server has to stamp each event with; empty: whichever. Raises EngineError, TooLong,
        WrongModel before a text of another model.
        """
        self.breaker.check()
        try:
            told = self._pieces(path, body, EventReader(n, model))
            async with asyncio.timeout(self.timeouts.total_s), aclosing(told) as pieces:
                async for piece in pieces:
                    yield piece
        except EngineError as error:
            self.breaker.report(error)
            raise
        except (TimeoutError, httpx.HTTPError) as error:
            failure = self._failure_from(error)
            self.breaker.report(failure)
            raise failure from error
        self.breaker.report(None)

    def give_up(self) -> None:
        """Whoever waits for the server gets EngineDown now, not when their patience ends."""
        self.is_given_up = True
        for limit in self._limits:
            if limit.when() is not None:  # else its reader is at work, and finds out at the next read
                limit.reschedule(asyncio.get_running_loop().time())

    async def is_healthy(self, path: str) -> bool:
        return await self.status(path) == 200

    async def _pieces(self, path: str, body: dict[str, Any], reader: EventReader) -> AsyncGenerator[Piece, None]:
        response = await self._open(path, body)
        try:
            if response.status_code != 200:
                async with asyncio.timeout(self.timeouts.between_s):
                    raise failure_of(response.status_code, (await _start_of(response)), response.headers)
            async with aclosing(self._events(response)) as arrivals:
                async for events in arrivals:
                    for event in events:
                        for piece in () if reader.is_over else reader.read(event):
                            yield piece
                    if reader.is_over:
                        break
            for piece in reader.endings():
                yield piece
        finally:
            await response.aclose()

    async def _open(self, path: str, body: dict[str, Any]) -> httpx.Response | LocalResponse:
        for attempt in (1, 2):
            request = self._http.build_request("POST", path, json=body)
            try:
                async with self._patience(self.timeouts.first_s):
                    return await self._http.send(request, stream=True)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                if attempt == 2:  # the first time it may be an idle connection that the server had closed
                    raise
        raise AssertionError("unreachable")

    async def _events(self, response: httpx.Response | LocalResponse) -> AsyncGenerator[list[str], None]:
        """The data of the events that arrived together."""
        rest, now = b"", asyncio.get_running_loop().time
        async with self._patience(self.timeouts.first_s) as limit:
            async for block in response.aiter_bytes():
                limit.reschedule(None)  # what the reader takes is no pause of the server's
                *lines, rest = (rest + block).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    raise EngineBroken("a line of the stream is too long")
                yield _data_of(lines)
                if self.is_given_up:
                    raise EngineDown("the server fell silent")
                limit.reschedule(now() + self.timeouts.between_s)
        yield _data_of([rest])

    @asynccontextmanager
    async def _patience(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        """A limit on waiting for the server, which `give_up` ends."""
        async with asyncio.timeout(seconds) as limit:
            self._limits.add(limit)
            try:
                yield limit
            finally:
                self._limits.discard(limit)

    def _failure_from(self, error: Exception) -> EngineError:
        if not isinstance(error, TimeoutError):
            return EngineDown(f"{type(error).__name__}: {error}")
        return EngineDown("the server fell silent") if self.is_given_up else EngineTimeout("nothing came in time")


class LocalClient(OpenAIClient):
    """Client of a server that is a child of ours: without TLS, redirects or kept connections, and read at a pace."""

    def __init__(self, url: str, key: str, *, timeouts: Timeouts = Timeouts()) -> None:
        super().__init__(url, key, keep_alive=False, timeouts=timeouts)
        self._url, self._key = url.rstrip("/"), key

    async def _open(self, path: str, body: dict[str, Any]) -> LocalResponse:
        async with self._patience(self.timeouts.first_s):
            return await local_http.post(f"{self._url}/{path}", self._key, body)


def _data_of(lines: list[bytes]) -> list[str]:
    return [line[5:].decode("utf-8", "replace").strip() for line in lines if line.startswith(b"data:")]


async def _start_of(response: httpx.Response | LocalResponse) -> str:
    """The start of an error's body."""
    body = b""
    async for block in response.aiter_bytes():
        body += block
        if len(body) > 4096:
            break
    return body[:4096].decode("utf-8", "replace")
