"""Base of the embedded engines: starts an inference server as a child process, and asks it with token ids.

Prompts are rendered here (chat.prompts), since a chat endpoint may turn user text into control tokens.
"""

import asyncio
import contextlib
import json
import sys
from abc import abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings

from base.child_environment import child_environment
from base.cores import usable_cores
from chat import policies
from chat.engines.client import LocalClient
from chat.engines.engine import MAX_SEED, Engine, Parameters, Piece
from chat.errors import EngineDown, EngineRefused
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt

SHORT_WAITING = {"GOMP_SPINCOUNT": "300"}
"""Threads that wait for each other spin for about a microsecond, then sleep. They wait at every layer, and to sleep
and wake took longer than the work between: on two cores one stream got 107 tokens/s by this, 42 by sleeping at once,
and beside a training 86 and 13; beside a process that always wants a core 48 and 65, and 5 by 10,000 spins. OpenMP
reads it when its library is loaded, so it must be there from the start."""

LONGEST_LINE = 1 << 16


class ChildEngine(Engine):
    """The child reads one JSON line on stdin, writes `{"url": ...}` to stdout, and ends when stdin does."""

    is_embedded = True
    module: ClassVar[str]
    """What the child runs: `python -m MODULE`."""
    start_timeout_s: ClassVar[float] = 120.0

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self._process: asyncio.subprocess.Process | None = None
        self._client: LocalClient | None = None

    @abstractmethod
    def config(self, directory: Path) -> dict[str, Any]:
        """What the child needs beside key, context, slots and threads. Raises BadPolicy."""

    def child_config(self, key: str) -> dict[str, Any]:
        """What the child reads on stdin. Raises BadPolicy."""
        directory = policies.directory(self.policy)
        return {
            **self.config(directory),
            "key": key,
            "host": settings.CHAT_ENGINE_HOST,
            "context_tokens": policies.context_tokens(directory),
            "slots": settings.CHAT_ENGINE_SLOTS,
            "threads": settings.CHAT_ENGINE_THREADS or usable_cores(),
        }

    async def start(self, key: str) -> None:
        config = self.child_config(key)
        self._process = await start_child(self.module)
        self.pid = self._process.pid
        try:
            await self._handshake(self._process, json.dumps(config), key)
        except BaseException:  # also when cancelled: no child may stay behind
            await self.stop()
            raise

    async def _handshake(self, process: asyncio.subprocess.Process, config: str, key: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(config.encode() + b"\n")
            await process.stdin.drain()
            async with asyncio.timeout(self.start_timeout_s):
                line = await process.stdout.readline()
            address = json.loads(line)["url"]
        except (TimeoutError, OSError, ValueError, KeyError) as error:
            raise EngineDown(f"{self.module} did not start: {error}") from error
        self.attach(address + "/v1", key)

    def attach(self, url: str, key: str) -> None:
        super().attach(url, key)
        self._client = LocalClient(url, key)

    def stream(self, prompt: PolicyPrompt, parameters: Parameters) -> AsyncGenerator[Piece, None]:
        return self._ask(prompt, parameters, 1)

    def stream_many(self, prompt: PolicyPrompt, parameters: Parameters, n: int) -> AsyncGenerator[Piece, None]:
        """The server reads the prompt once for all completions, and adds k to the seed of completion k."""
        if n > settings.CHAT_ENGINE_SLOTS or (parameters.seed or 0) + n - 1 > MAX_SEED:
            return super().stream_many(prompt, parameters, n)
        return self._ask(prompt, parameters, n)

    async def _ask(self, prompt: PolicyPrompt, parameters: Parameters, n: int) -> AsyncGenerator[Piece, None]:
        if self._client is None:
            raise EngineDown("not started")
        if not prompt.ids:
            raise EngineRefused("an empty prompt")
        body = self.request(prompt, parameters, n)
        async with aclosing(self._client.stream("completions", body, n)) as pieces:
            async for piece in pieces:
                yield piece

    def request(self, prompt: PolicyPrompt, parameters: Parameters, n: int = 1) -> dict[str, Any]:
        """What the child is asked, as JSON."""
        return _request(prompt.ids or [], parameters, n)

    async def is_healthy(self) -> bool:
        return self.is_running() and self._client is not None and await self._client.is_healthy("health")

    def is_running(self) -> bool:
        return self._process is None or self._process.returncode is None

    async def stop(self) -> None:
        """Ends the process first, so that readers get a broken stream and not a closed client."""
        if self._process is not None and self._process.returncode is None:
            await end(self._process)
        if self._client is not None:
            await self._client.close()


async def start_child(
    module: str, *arguments: str, longest_line: int = LONGEST_LINE, **environment: str
) -> asyncio.subprocess.Process:
    """Starts `python -m MODULE`, which reads lines on its stdin and writes lines of at most so many bytes."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, *arguments),
        cwd=settings.BASE_DIR,
        env=child_environment({**SHORT_WAITING, **environment}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=longest_line,
    )


def threads() -> str:
    """Of a child that computes with OpenMP, as OMP_NUM_THREADS."""
    return str(settings.CHAT_ENGINE_THREADS or usable_cores())


async def end(process: asyncio.subprocess.Process) -> None:
    """Asks the child to end by closing its stdin, and kills it a second later."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(1.0):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _request(ids: list[int], parameters: Parameters, n: int = 1) -> dict[str, Any]:
    """Sets every sampling parameter, since llama.cpp has defaults of its own (top_k 40, min_p 0.05)."""
    is_greedy = parameters.temperature == 0
    body: dict[str, Any] = {
        "prompt": ids,
        "n": n,
        "max_tokens": parameters.max_completion_tokens,
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        "top_k": parameters.top_k,
        "min_p": 0.0,
        "repeat_penalty": 1.0,
        "presence_penalty": parameters.presence_penalty,
        "frequency_penalty": parameters.frequency_penalty,
        "seed": -1 if parameters.seed is None else parameters.seed,
        "stop": list(parameters.stop),
        "cache_prompt": not is_greedy,  # a cached prefix may change the last bits, and so a greedy choice
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if parameters.top_logprobs is not None:
        body["logprobs"] = max(1, parameters.top_logprobs)  # 0 means none to llama.cpp
    return body
