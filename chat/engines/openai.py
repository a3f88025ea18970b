"""Client of OpenAI-compatible servers, and the engine for such a server elsewhere, given by its URL.

Timeouts limit the connection, the pause between two lines and the whole request. Closing the generator closes the
connection, by which such servers notice that nobody reads any more.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx
from django.conf import settings

from chat.engines import local_http
from chat.engines.engine import Engine, Parameters, Piece
from chat.engines.events import EventReader, failure_of
from chat.engines.local_http import LocalResponse
from chat.errors import EngineBroken, EngineDown, EngineError, EngineRefused, EngineTimeout
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt
from chat.prompts.rendering import ROLES, Turn

LONGEST_LINE = 1 << 20
"""Bytes of a line of the stream; no server has a reason to send more."""
CONTROL = re.compile(r"<(?=\|[^|<>\s]{1,60}\|>|/?s>|(?:start|end)_of_turn>|/?(?:bos|eos|pad)>)|\[(?=/?INST\])")
"""The first character of control tokens of well-known templates (ChatML, Llama, Gemma, Mistral)."""


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


class OpenAIClient:
    """Client of one server, for several tasks at a time."""

    def __init__(self, url: str, key: str, *, keep_alive: bool, timeouts: Timeouts = Timeouts()) -> None:
        self.timeouts = timeouts
        self.breaker = Breaker()
        # llama.cpp's server closes idle connections without notice, so the next request on one fails: none is kept.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20 if keep_alive else 0)
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(None, connect=timeouts.connect_s, pool=timeouts.connect_s),
            limits=limits,
            follow_redirects=False,
            trust_env=False,
        )

    async def stream(self, path: str, body: dict[str, Any], n: int = 1) -> AsyncGenerator[Piece, None]:
        """Pieces of the completion, or of `n` of them; the last of each, and only that, has a finish reason.

        Raises EngineError, TooLong.
        """
        self.breaker.check()
        try:
            async with asyncio.timeout(self.timeouts.total_s), aclosing(self._pieces(path, body, n)) as pieces:
                async for piece in pieces:
                    yield piece
        except EngineError as error:
            self.breaker.report(error)
            raise
        except (TimeoutError, httpx.HTTPError) as error:
            failure = _failure_from(error)
            self.breaker.report(failure)
            raise failure from error
        self.breaker.report(None)

    async def is_healthy(self, path: str) -> bool:
        try:
            return (await self._http.get(path, timeout=5.0)).status_code == 200
        except httpx.HTTPError:
            return False

    async def close(self) -> None:
        await self._http.aclose()

    async def _pieces(self, path: str, body: dict[str, Any], n: int) -> AsyncGenerator[Piece, None]:
        response = await self._open(path, body)
        try:
            if response.status_code != 200:
                async with asyncio.timeout(self.timeouts.between_s):
                    raise failure_of(response.status_code, (await _start_of(response)), response.headers)
            reader = EventReader(n)
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
                async with asyncio.timeout(self.timeouts.first_s):
                    return await self._http.send(request, stream=True)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                if attempt == 2:  # the first time it may be an idle connection that the server had closed
                    raise
        raise AssertionError("unreachable")

    async def _events(self, response: httpx.Response | LocalResponse) -> AsyncGenerator[list[str], None]:
        """The data of the events that arrived together."""
        rest, now = b"", asyncio.get_running_loop().time
        async with asyncio.timeout(self.timeouts.first_s) as limit:
            async for block in response.aiter_bytes():
                limit.reschedule(None)  # what the reader takes is no pause of the server's
                *lines, rest = (rest + block).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    raise EngineBroken("a line of the stream is too long")
                yield _data_of(lines)
                limit.reschedule(now() + self.timeouts.between_s)
        yield _data_of([rest])


class LocalClient(OpenAIClient):
    """Client of a server that is a child of ours: without TLS, redirects or kept connections, and read at a pace."""

    def __init__(self, url: str, key: str, *, timeouts: Timeouts = Timeouts()) -> None:
        super().__init__(url, key, keep_alive=False, timeouts=timeouts)
        self._url, self._key = url.rstrip("/"), key

    async def _open(self, path: str, body: dict[str, Any]) -> LocalResponse:
        async with asyncio.timeout(self.timeouts.first_s):
            return await local_http.post(f"{self._url}/{path}", self._key, body)


def _data_of(lines: list[bytes]) -> list[str]:
    return [line[5:].decode("utf-8", "replace").strip() for line in lines if line.startswith(b"data:")]


def _failure_from(error: Exception) -> EngineError:
    if isinstance(error, TimeoutError):
        return EngineTimeout("nothing came in time")
    return EngineDown(f"{type(error).__name__}: {error}")


async def _start_of(response: httpx.Response | LocalResponse) -> str:
    """The start of an error's body."""
    body = b""
    async for block in response.aiter_bytes():
        body += block
        if len(body) > 4096:
            break
    return body[:4096].decode("utf-8", "replace")


def neutral(turn: Turn) -> Turn:
    """The message with control tokens of well-known templates broken up by a space.

    The server should encode user text as text; this is a second protection. Roles are checked, since a template may
    build a control token from one.
    """
    if turn["role"] not in ROLES:
        raise EngineRefused(f"role {turn['role']!r}")
    return Turn(role=turn["role"], content=CONTROL.sub(r"\g<0> ", turn["content"]))


def _prompt_fields(prompt: PolicyPrompt) -> dict[str, Any]:
    """The prompt as messages or as a raw text; no ids, since the server may have another tokenizer."""
    if prompt.text is None:
        return {"messages": [neutral(turn) for turn in prompt.messages]}
    return {"prompt": CONTROL.sub(r"\g<0> ", prompt.text)}


class OpenAIEngine(Engine):
    """Any OpenAI-compatible server, started and watched by others: vLLM, SGLang, TGI, a hosted one."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.url = settings.CHAT_ENGINE_URL
        self.model = settings.CHAT_ENGINE_MODEL or policy.name
        self._client = OpenAIClient(self.url, settings.CHAT_ENGINE_KEY, keep_alive=True)

    async def start(self, key: str) -> None:
        if not self.url:
            raise EngineDown("CHAMSAE_ENGINE_URL is not set")
        if settings.CHAT_ENGINE_MODEL and not self.policy.is_live:
            # Its replies would have the name of a policy that did not generate them.
            raise EngineRefused(f"the server has one model, the live policy, not {self.policy.name}")
        if not await self.is_healthy():
            raise EngineDown(f"{self.url} does not answer")

    async def stream(self, prompt: PolicyPrompt, parameters: Parameters) -> AsyncGenerator[Piece, None]:
        path = "chat/completions" if prompt.text is None else "completions"
        async with aclosing(self._client.stream(path, self._request(prompt, parameters))) as pieces:
            async for piece in pieces:
                yield piece

    def _request(self, prompt: PolicyPrompt, parameters: Parameters) -> dict[str, Any]:
        """Sets only what differs from the protocol's defaults, since some servers refuse unknown fields."""
        body: dict[str, Any] = {
            "model": self.model,
            **_prompt_fields(prompt),
            "temperature": parameters.temperature,
            "top_p": parameters.top_p,
            "max_tokens": parameters.max_completion_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if parameters.seed is not None:
            body["seed"] = parameters.seed
        if parameters.stop:
            body["stop"] = list(parameters.stop)
        for name in ("top_k", "presence_penalty", "frequency_penalty"):
            if value := getattr(parameters, name):
                body[name] = value
        if parameters.top_logprobs is not None and prompt.text is None:
            body |= {"logprobs": True, "top_logprobs": parameters.top_logprobs}
        elif parameters.top_logprobs is not None:
            body["logprobs"] = parameters.top_logprobs
        if prompt.prefix:  # as vLLM and SGLang have it
            body["messages"].append(neutral(Turn(role="assistant", content=prompt.prefix)))
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return body

    async def is_healthy(self) -> bool:
        return await self._client.is_healthy("models")

    async def stop(self) -> None:
        await self._client.close()
