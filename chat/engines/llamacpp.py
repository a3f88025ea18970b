"""The embedded engine: llama.cpp's server as a child process, asked with token ids.

Ids, because its chat endpoint turns control tokens in user text into real ones; rendering is chat.prompt's work.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from django.conf import settings

from chat import policies
from chat.engines.engine import Engine, Parameters, Piece
from chat.engines.openai import OpenAIClient, Timeouts
from chat.errors import BadPolicy, EngineDown, EngineRefused
from chat.models import Policy
from chat.prompt import Prompt

START_TIMEOUT_S = 120.0
GGUF = "policy.gguf"
PATIENT = {"OMP_WAIT_POLICY": "passive"}
"""Threads that wait for each other sleep instead of spinning. Beside a training run on two cores that was 45 tokens/s
against 4; OpenMP reads it when its library is loaded, so it must be there from the start."""


class LlamaCppEngine(Engine):
    is_embedded = True

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self._process: asyncio.subprocess.Process | None = None
        self._client: OpenAIClient | None = None

    async def start(self, key: str) -> None:
        directory = policies.directory(self.policy)
        if not (directory / GGUF).is_file():
            raise BadPolicy(f"{directory} holds no {GGUF}")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "chat.engines.llamacpp_server"),
            cwd=settings.BASE_DIR,
            env={**os.environ, **PATIENT},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.pid = self._process.pid
        config = {
            "gguf": str(directory / GGUF),
            "key": key,
            "context_tokens": policies.context_tokens(directory),
            "slots": settings.CHAT_ENGINE_SLOTS,
            "threads": settings.CHAT_ENGINE_THREADS or os.cpu_count() or 1,
        }
        try:
            await self._handshake(self._process, json.dumps(config), key)
        except BaseException:  # cancelled, too: no child stays behind
            await self.stop()
            raise

    async def _handshake(self, process: asyncio.subprocess.Process, config: str, key: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(config.encode() + b"\n")
            await process.stdin.drain()
            async with asyncio.timeout(START_TIMEOUT_S):
                line = await process.stdout.readline()
            address = json.loads(line)["url"]
        except (TimeoutError, OSError, ValueError, KeyError) as error:
            raise EngineDown(f"llama.cpp did not start: {error}") from error
        self.attach(address + "/v1", key)

    def attach(self, url: str, key: str) -> None:
        super().attach(url, key)
        self._client = OpenAIClient(url, key, keep_alive=False, timeouts=Timeouts())

    async def stream(self, prompt: Prompt, parameters: Parameters) -> AsyncGenerator[Piece, None]:
        if self._client is None:
            raise EngineDown("not started")
        if not prompt.ids:
            raise EngineRefused("an empty prompt")
        async with aclosing(self._client.stream("completions", request(prompt.ids, parameters))) as pieces:
            async for piece in pieces:
                yield piece

    async def is_healthy(self) -> bool:
        return self.is_running() and self._client is not None and await self._client.is_healthy("health")

    def is_running(self) -> bool:
        return self._process is None or self._process.returncode is None

    async def stop(self) -> None:
        """The process first: whoever still reads gets a broken stream, not a closed client."""
        if self._process is not None and self._process.returncode is None:
            await _end(self._process)
        if self._client is not None:
            await self._client.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(1.0):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def request(ids: list[int], parameters: Parameters) -> dict[str, Any]:
    """Every sampling parameter is said, so that the server's own defaults (top_k 40, min_p 0.05) play no part."""
    is_greedy = parameters.temperature == 0
    return {
        "prompt": ids,
        "max_tokens": parameters.max_completion_tokens,
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "repeat_penalty": 1.0,
        "seed": -1 if parameters.seed is None else parameters.seed,
        "cache_prompt": not is_greedy,  # a cached prefix may change the last bits, and with them a greedy choice
        "stream": True,
        "stream_options": {"include_usage": True},
    }
