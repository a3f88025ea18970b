"""The child process of the transformers engine: an ASGI application, served by uvicorn on a free port.

Started as `python -m chat.engines.transformers_server` and spoken to as llama.cpp is: one JSON line on stdin, one
with the URL on stdout; it ends with its stdin. `POST /v1/completions` takes token ids and answers with a stream of
events; whoever closes the connection ends the work. `GET /v1/health` fails when the batch is stuck. Knows no Django.
"""

import asyncio
import dataclasses
import hmac
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import uvicorn
import uvloop
from pydantic import BaseModel, FailFast, Field, ValidationError, model_validator

from chat.engines.lifeline import die_with_parent
from chat.engines.transformers_worker import BatchRequest, Worker

if TYPE_CHECKING:
    from chat.engines.transformers_batch import Batch, CompletionUpdate, PromptJob

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

MAX_BODY_BYTES = 1 << 23
BODY_TIMEOUT_S = 10.0
GRACE_S = 5
"""After SIGTERM, for the streams under way to end."""
WAITING_PER_SLOT = 4


class Refused(Exception):
    """An answer that is no completion."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


class Body(BaseModel, allow_inf_nan=False):
    """What counts in a request for completions; null stands for the default."""

    prompt: Annotated[list[Annotated[int, Field(strict=True, ge=0)]], FailFast(), Field(min_length=1)]
    stream: Literal[True]
    n: int = Field(1, ge=1)
    max_tokens: int = Field(16, ge=1)
    temperature: float = Field(1.0, ge=0, le=100)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    seed: int = Field(-1, ge=-1, lt=2**62)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), max_length=16)
    logprobs: int | None = Field(None, ge=0, le=50)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data

    @classmethod
    def parse(cls, body: bytes) -> "Body":
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            problems = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise Refused(400, f"no request for a completion: {'; '.join(problems)}") from error

    def job(self) -> "PromptJob":
        from chat.engines.transformers_batch import PromptJob

        values = self.model_dump(exclude={"prompt", "stream", "seed"})
        return PromptJob(ids=self.prompt, seed=None if self.seed < 0 else self.seed, **values)


class Application:
    """Answers anybody about its health, and whoever has the key with completions."""

    def __init__(self, config: dict[str, Any], batch: "Batch", worker: Worker) -> None:
        self.authorization = f"Bearer {config['key']}".encode()
        self.context_tokens, self.slots = config["context_tokens"], config["slots"]
        self.batch, self.worker = batch, worker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer(scope, receive, send)
        except Refused as refusal:
            await _send_json(send, refusal.status, {"error": {"message": str(refusal), "type": refusal.kind}})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = f"{scope['method']} {scope['path']}"
        if asked == "GET /v1/health":
            status, word = (503, "stuck") if self.worker.is_stuck else (200, "ok")
            return await _send_json(send, status, {"status": word})
        if not hmac.compare_digest(dict(scope["headers"]).get(b"authorization", b""), self.authorization):
            raise Refused(401, "the key is missing or wrong", "authentication_error")
        if asked != "POST /v1/completions":
            raise Refused(404, f"there is no {asked}", "not_found_error")
        job = self._fit(Body.parse(await _read_body(receive)).job())
        if self.worker.under_way >= self.slots * (1 + WAITING_PER_SLOT):
            raise Refused(503, "too many are waiting", "unavailable_error")
        await self._stream(BatchRequest(job), receive, send)
        return None

    def _fit(self, job: "PromptJob") -> "PromptJob":
        """The job, cut to the context. Raises Refused for what would harm the batch."""
        room = self.context_tokens - len(job.ids)
        if room < 1:
            raise Refused(400, f"{len(job.ids)} tokens exceed the context of {self.context_tokens}")
        if max(job.ids) >= self.batch.vocabulary:
            raise Refused(400, "the prompt has to be token ids of the vocabulary")
        if job.n > self.slots:
            raise Refused(400, f"n: at most {self.slots}")
        return dataclasses.replace(job, max_tokens=min(job.max_tokens, room))

    async def _stream(self, request: BatchRequest, receive: Receive, send: Send) -> None:
        watching = asyncio.create_task(_watch(request, receive))
        self.worker.under_way += request.job.n
        try:
            self.worker.arrivals.put(request)
            await _send_head(send, 200, "text/event-stream")
            await _relay(request, send)
        finally:
            self.worker.under_way -= request.job.n
            request.cancel()
            watching.cancel()


async def _watch(request: BatchRequest, receive: Receive) -> None:
    """Cancels the request when its client leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass
    request.cancel()
    request.news.put_nowait(None)


async def _relay(request: BatchRequest, send: Send) -> None:
    """News as events, until every completion has ended or the client has left."""
    unfinished = request.job.n
    while unfinished and (news := await request.news.get()):
        if news.error:
            return await _send_event(send, json.dumps({"error": {"code": 500, "message": news.error}}), is_last=True)
        unfinished -= bool(news.finish_reason)
        await _send_event(send, json.dumps(_chunk(news, len(request.job.ids))))
    return await _send_event(send, "[DONE]", is_last=True)


def _chunk(news: "CompletionUpdate", prompt_tokens: int) -> dict[str, Any]:
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


async def _read_body(receive: Receive) -> bytes:
    body, is_whole = b"", False
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while not is_whole:
                message = await receive()
                body += message.get("body", b"")
                is_whole = not message.get("more_body", False)  # a client that leaves sends no more either
                if len(body) > MAX_BODY_BYTES:
                    raise Refused(413, "the body of the request is too long")
    except TimeoutError as error:
        raise Refused(408, "the body of the request did not come in time") from error
    return body


async def _send_head(send: Send, status: int, content_type: str) -> None:
    headers = [(b"content-type", content_type.encode()), (b"connection", b"close")]
    retry = [(b"retry-after", b"5")] if status == 503 else []
    await send({"type": "http.response.start", "status": status, "headers": headers + retry})


async def _send_json(send: Send, status: int, content: dict[str, Any]) -> None:
    await _send_head(send, status, "application/json")
    await send({"type": "http.response.body", "body": json.dumps(content).encode()})


async def _send_event(send: Send, data: str, *, is_last: bool = False) -> None:
    await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": not is_last})


class Server(uvicorn.Server):
    """Ends on SIGTERM; Ctrl+C, which reaches the whole terminal, is for the parent to act on."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGINT:
            super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        stdout, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no line for the parent
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        print(json.dumps({"url": f"http://{host}:{port}"}), file=stdout, flush=True)


async def serve(config: dict[str, Any]) -> None:
    import torch

    torch.set_num_threads(config["threads"])
    from chat.engines.transformers_batch import Batch

    batch = Batch(Path(config["directory"]), config["slots"])
    worker = Worker(batch, asyncio.get_running_loop())
    worker.start()
    await Server(options_of(Application(config, batch, worker), config["host"])).serve()


def options_of(application: Application, host: str) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        host=host,
        port=0,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )


def _end_with_stdin() -> None:
    while sys.stdin.readline():
        pass
    os._exit(0)  # a step of the batch may take its time


def main() -> None:
    die_with_parent()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    config = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    uvloop.run(serve(config))


if __name__ == "__main__":
    main()
