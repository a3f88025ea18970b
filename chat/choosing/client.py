"""Client of the scorer: a child process with torch that runs while replies are chosen or guarded by a reward model.

The child reads requests as JSON lines on stdin, `{"id", "directory", "policies", "messages", "completions": [{"text",
"finished"}]}`, and answers each with a line on stdout, `{"id", "scores": [...], "violations": [{rule: p}, ...]}` or
`{"id", "error"}`. A request without completions loads the reward model. It ends with its stdin.
"""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from django.conf import settings

from chat.choosing.source import ScorerAddress
from chat.engines.child import end, start_child, threads
from chat.errors import ScorerDown
from chat.prompts.rendering import Turn

LIMIT_S = 30.0
"""A scorer that takes longer for a reply has failed; one that answers nothing for this long is ended."""
LOADING_LIMIT_S = 180.0
LONGEST_ANSWER = 1 << 24


@dataclass(frozen=True)
class Written:
    """A completion, with what the reply had to begin with."""

    text: str
    finished: bool
    """Whether the model ended it itself."""


@dataclass(frozen=True)
class CompletionScore:
    """What the reward model says of a completion."""

    score: float
    """Log odds: a difference of two is that of Bradley and Terry."""
    violations: dict[str, float]
    """P(violation) of each rule that it can tell."""


class ScorerProcess:
    """One child at a time; requests wait for each other in it."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._module = ""
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._starting = asyncio.Lock()
        self._answered_at = 0.0
        self._loading = 0

    @property
    def pid(self) -> int | None:
        """Of the child, if it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process is not None else None

    async def score(
        self, address: ScorerAddress, messages: Sequence[Turn], completions: Sequence[Written]
    ) -> list[CompletionScore]:
        """Raises ScorerDown."""
        asked = [{"text": one.text, "finished": one.finished} for one in completions]
        answer = await self._ask(address, {"messages": list(messages), "completions": asked}, LIMIT_S)
        return _read(answer, len(completions))

    async def load(self, address: ScorerAddress) -> None:
        """Returns once the reward model is loaded. Raises ScorerDown."""
        self._loading += 1
        try:
            await self._ask(address, {"messages": [], "completions": []}, LOADING_LIMIT_S)
        finally:
            self._loading -= 1

    async def close_if_idle(self) -> None:
        if not self._waiting:
            await self.close()

    async def close(self) -> None:
        """Ends the child; whoever waits for an answer gets ScorerDown."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            await end(process)
        if self._reading is not None:  # it ends with the child
            await asyncio.wait([self._reading])
        self._give_up()

    async def _ask(self, address: ScorerAddress, request: dict[str, Any], limit_s: float) -> dict[str, Any]:
        number = next(self._numbers)
        given = {"id": number, "directory": address.directory, "policies": list(address.policies), **request}
        try:
            async with asyncio.timeout(limit_s):
                async with self._starting:
                    process = await self._running(address.module)
                answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
                self._waiting[number] = answer
                await _send(process, json.dumps(given).encode() + b"\n")
                return await answer
        except TimeoutError:
            if not self._loading and time.monotonic() - self._answered_at >= limit_s:
                await self.close()  # it hangs; the next request gets a new one
            raise ScorerDown("no answer in time") from None
        finally:
            self._waiting.pop(number, None)

    async def _running(self, module: str) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None and module == self._module:
            return self._process
        await self.close()
        self._module = module
        self._process = await start_child(
            module,
            longest_line=LONGEST_ANSWER,
            OMP_NUM_THREADS=threads(),
            CHAMSAE_THINKING=settings.CHAT_THINKING,
        )
        self._answered_at = time.monotonic()
        self._reading = asyncio.create_task(self._read_answers(self._process))
        return self._process

    async def _read_answers(self, process: asyncio.subprocess.Process) -> None:
        """Until the child ends, however it does: then nobody goes on waiting for it."""
        assert process.stdout is not None
        with contextlib.suppress(ConnectionError, ValueError, KeyError, TypeError):  # a line too long, or no answer
            while line := await process.stdout.readline():
                answer = json.loads(line)
                self._answered_at = time.monotonic()
                waiting = self._waiting.get(answer["id"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        self._give_up()
        if process is self._process:
            self._process = None
        if process.returncode is None:
            await end(process)

    def _give_up(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ScorerDown("the scorer has ended"))


async def _send(process: asyncio.subprocess.Process, line: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(line)
        await process.stdin.drain()
    except ConnectionError as error:
        raise ScorerDown(f"the scorer has ended: {error}") from error


def _read(answer: dict[str, Any], expected: int) -> list[CompletionScore]:
    """Raises ScorerDown for an answer that says nothing, too: a guard must not take it for a good one."""
    if "error" in answer:
        raise ScorerDown(str(answer["error"]))
    try:
        found = [
            CompletionScore(float(score), {str(rule): float(p) for rule, p in broken.items()})
            for score, broken in zip(answer["scores"], answer["violations"], strict=True)
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScorerDown(f"no answer: {str(answer)[:200]}") from error
    numbers = [number for one in found for number in (one.score, *one.violations.values())]
    if len(found) != expected or not all(math.isfinite(number) for number in numbers):
        raise ScorerDown("a score that is not a number, or one for each completion is not there")
    return found
