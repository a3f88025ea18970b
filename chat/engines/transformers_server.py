"""The child process of the transformers engine: its own small /v1 on a free port of 127.0.0.1. Knows no Django.

Started as `python -m chat.engines.transformers_server` and spoken to as llama.cpp is: a JSON line on stdin, one with
the URL on stdout; it ends with its stdin. `POST /v1/completions` takes token ids and answers with a stream of events;
whoever closes the connection ends the work. `GET /v1/health` fails when the batch is stuck.
"""

import asyncio
import contextlib
import hmac
import json
import os
import queue
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chat.engines.lifeline import die_with_parent

LONGEST_HEAD, LONGEST_BODY = 1 << 16, 1 << 23
HEAD_TIMEOUT_S = 10.0
STUCK_S = 60.0
"""A single step takes milliseconds; one that lasts this long does not end."""
WAITING_PER_SLOT = 4
FAILURES_IN_A_ROW = 3
"""After so many failed steps the device is lost: the process ends, and whoever watches starts another."""


class Refused(Exception):
    """An answer that is no completion."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


@dataclass(eq=False)
class Asked:
    """A request that waits for news of its rows."""

    wish: Any
    news: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    rows: list[Any] = field(default_factory=list)
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True
        for row in self.rows:
            row.is_cancelled = True


class Worker(threading.Thread):
    """Owns the batch: nothing of torch is touched by another thread."""

    def __init__(self, batch: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(daemon=True)
        self.batch, self.loop = batch, loop
        self.arrivals: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        self.under_way = 0
        self.working_since: float | None = None
        self.told: list[tuple[Asked, Any]] = []

    @property
    def is_stuck(self) -> bool:
        since = self.working_since
        return not self.is_alive() or (since is not None and time.monotonic() - since > STUCK_S)

    def run(self) -> None:
        failures = 0
        while failures < FAILURES_IN_A_ROW:
            self._take_arrivals()
            self.working_since = time.monotonic()
            try:
                self.batch.work()
                failures = 0
            except Exception as error:  # the batch has told everybody; it starts anew
                print(f"a step failed: {error}", file=sys.stderr, flush=True)  # noqa: T201  the talker's log
                failures += 1
            self.working_since = None
            self._deliver()
        os._exit(1)

    def _take_arrivals(self) -> None:
        while self.batch.is_idle or not self.arrivals.empty():
            asked = self.arrivals.get()
            if not asked.is_cancelled:
                asked.rows = self.batch.add(asked.wish, lambda news, asked=asked: self.told.append((asked, news)))
                if asked.is_cancelled:  # meanwhile
                    asked.cancel()

    def _deliver(self) -> None:
        """One call for all news of a step: each wakes the other thread."""
        told, self.told = self.told, []
        if told:
            self.loop.call_soon_threadsafe(_hand_out, told)


def _hand_out(told: list[tuple[Asked, Any]]) -> None:
    for asked, news in told:
        asked.news.put_nowait(news)


class Server:
    def __init__(self, config: dict[str, Any], batch: Any) -> None:
        self.key, self.context_tokens = config["key"], config["context_tokens"]
        self.slots, self.batch = config["slots"], batch
        self.worker = Worker(batch, asyncio.get_running_loop())
        self.worker.start()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            try:
                async with asyncio.timeout(HEAD_TIMEOUT_S):
                    method, path, headers = await _read_head(reader)
                    body = await reader.readexactly(_length_of(headers))
                await self._answer(method, path, headers, body, reader, writer)
            except Refused as refusal:
                _write(writer, refusal.status, {"error": {"message": str(refusal), "type": refusal.kind}})
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        writer.close()

    async def _answer(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if (method, path) == ("GET", "/v1/health"):
            status = 503 if self.worker.is_stuck else 200
            return _write(writer, status, {"status": "stuck" if status == 503 else "ok"})
        if not hmac.compare_digest(headers.get("authorization", "").encode(), f"Bearer {self.key}".encode()):
            raise Refused(401, "the key is missing or wrong", "authentication_error")
        if (method, path) != ("POST", "/v1/completions"):
            raise Refused(404, f"there is no {method} {path}", "not_found_error")
        wish = self._wish(body)
        if self.worker.under_way >= self.slots * (1 + WAITING_PER_SLOT):
            raise Refused(503, "too many are waiting", "unavailable_error")
        await self._stream(wish, reader, writer)
        return None

    def _wish(self, body: bytes) -> Any:
        """Raises Refused on whatever would harm the batch."""
        from chat.engines.transformers_batch import Wish

        try:
            asked = json.loads(body)
            ids = asked["prompt"]
            wish = Wish(
                ids=ids,
                n=int(asked.get("n") or 1),
                max_tokens=int(asked.get("max_tokens") or 16),
                temperature=float(asked.get("temperature", 1.0)),
                top_p=float(asked.get("top_p", 1.0)),
                top_k=int(asked.get("top_k") or 0),
                presence_penalty=float(asked.get("presence_penalty") or 0),
                frequency_penalty=float(asked.get("frequency_penalty") or 0),
                seed=None if asked.get("seed") in (None, -1) else int(asked["seed"]),
                stop=tuple(map(str, asked.get("stop") or ())),
                logprobs=None if asked.get("logprobs") is None else int(asked["logprobs"]),
            )
            if not asked.get("stream"):
                raise Refused(400, 'only streams are served: say "stream": true')
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Refused(400, f"no request for a completion: {error}") from error
        self._check(wish)
        room = self.context_tokens - len(wish.ids)
        return Wish(**{**wish.__dict__, "max_tokens": min(wish.max_tokens, room)})

    def _check(self, wish: Any) -> None:
        ids = wish.ids
        known = isinstance(ids, list) and all(type(i) is int and 0 <= i < self.batch.vocabulary for i in ids)
        if not known or not ids:
            raise Refused(400, "the prompt has to be token ids of the vocabulary, at least one")
        if len(ids) >= self.context_tokens:
            raise Refused(400, f"{len(ids)} tokens exceed the context of {self.context_tokens}")
        sane = {
            "n": 1 <= wish.n <= self.slots,
            "max_tokens": wish.max_tokens >= 1,
            "temperature": 0 <= wish.temperature <= 100,
            "top_p": 0 < wish.top_p <= 1,
            "top_k": wish.top_k >= 0,
            "presence_penalty": abs(wish.presence_penalty) <= 2,
            "frequency_penalty": abs(wish.frequency_penalty) <= 2,
            "seed": wish.seed is None or 0 <= wish.seed < 2**63 - wish.n,
            "stop": len(wish.stop) <= 16 and all(wish.stop),
            "logprobs": wish.logprobs is None or 0 <= wish.logprobs <= 50,
        }
        if odd := [name for name, holds in sane.items() if not holds]:
            raise Refused(400, f"out of range: {', '.join(odd)}")

    async def _stream(self, wish: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = Asked(wish)
        gone = asyncio.ensure_future(reader.read(1))
        self.worker.under_way += wish.n
        try:
            self.worker.arrivals.put(asked)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            await self._relay(asked, gone, writer)
        finally:
            self.worker.under_way -= wish.n
            asked.cancel()
            gone.cancel()

    async def _relay(self, asked: Asked, gone: "asyncio.Future[bytes]", writer: asyncio.StreamWriter) -> None:
        """News as events, until every completion has ended or the reader has gone."""
        unfinished = asked.wish.n
        while unfinished:
            getting = asyncio.ensure_future(asked.news.get())
            await asyncio.wait([getting, gone], return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                getting.cancel()
                return
            news = getting.result()
            if news.error:
                writer.write(_event({"error": {"code": 500, "message": news.error}}))
                return
            unfinished -= bool(news.finish_reason)
            writer.write(_event(_chunk(news, len(asked.wish.ids))))
            await writer.drain()
        writer.write(b"data: [DONE]\n\n")


def _chunk(news: Any, prompt_tokens: int) -> dict[str, Any]:
    choice = {
        "index": news.index,
        "text": news.text,
        "finish_reason": news.finish_reason or None,
        "logprobs": {"content": list(news.tokens)} if news.tokens else None,
    }
    chunk: dict[str, Any] = {"object": "text_completion", "choices": [choice]}
    if news.finish_reason:
        chunk["usage"] = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": news.completion_tokens,
            "total_tokens": prompt_tokens + news.completion_tokens,
        }
    return chunk


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]]:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError as error:
        raise Refused(431, "the head of the request is too long") from error
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    headers = dict(line.split(":", 1) for line in lines if ":" in line)
    return method, path, {name.strip().lower(): value.strip() for name, value in headers.items()}


def _length_of(headers: dict[str, str]) -> int:
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= LONGEST_BODY:
        raise Refused(413, "the body of the request is too long")
    return length


def _write(writer: asyncio.StreamWriter, status: int, body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    retry = "Retry-After: 5\r\n" if status == 503 else ""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n{retry}"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + data)


async def serve(config: dict[str, Any]) -> None:
    import torch

    torch.set_num_threads(config["threads"])
    from chat.engines.transformers_batch import Batch

    server = Server(config, Batch(Path(config["directory"]), config["slots"]))
    running = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=LONGEST_HEAD)
    port = running.sockets[0].getsockname()[1]
    answers, sys.stdout = sys.stdout, sys.stderr
    answers.write(json.dumps({"url": f"http://127.0.0.1:{port}"}) + "\n")
    answers.flush()
    await asyncio.to_thread(_until_stdin_ends)
    os._exit(0)  # a step of the batch may take its time


def _until_stdin_ends() -> None:
    while sys.stdin.readline():
        pass


def main() -> None:
    die_with_parent()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    asyncio.run(serve(json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    main()
