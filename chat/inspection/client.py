"""Client of the inspector: a child process with torch that runs only while token probabilities are asked for."""

import asyncio
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chat.engines.child import end, start_child, threads
from chat.errors import InspectorDown

IDLE_S = 180.0
"""How long the child waits for another request before it ends and frees its memory."""
ANSWER_TIMEOUT_S = 300.0
LONGEST_ANSWER = 1 << 26
TOP = 8
"""Most probable tokens that are returned for each position."""


@dataclass(frozen=True)
class InspectedToken:
    """A token by its id, with its log-probability and the most probable ids of its position."""

    id: int
    logprob: float
    top: list[tuple[int, float]]


class Inspector:
    """Answers one request at a time."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def logprobs(
        self, directory: Path, prompt: list[int], completion: list[int], top: int = TOP
    ) -> list[InspectedToken]:
        """Probabilities of the completion's tokens after the prompt. Raises InspectorDown."""
        request = {"directory": str(directory), "prompt": prompt, "completion": completion, "top": top}
        line = json.dumps(request).encode() + b"\n"
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                # A child that had been idle may end while it is asked: a new one is asked then.
                answer = await self._ask(line) or await self._ask(line)
        except TimeoutError:
            await self.close()
            raise InspectorDown("no answer in time") from None
        except asyncio.CancelledError:  # a child in the middle of a request is of no use
            await self.close()
            raise
        return _read(answer)

    async def _ask(self, line: bytes) -> bytes:
        process = await self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line)
            await process.stdin.drain()
            answer = await process.stdout.readline()
        except (ConnectionError, ValueError):  # ValueError: a line longer than its limit
            answer = b""
        if not answer:  # its end is noticed later than the end of its pipe
            await self.close()
        return answer

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        self._process = await start_child(
            "chat.inspection.process", str(IDLE_S), longest_line=LONGEST_ANSWER, OMP_NUM_THREADS=threads()
        )
        return self._process

    async def close(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            await end(process)


def _read(line: bytes) -> list[InspectedToken]:
    try:
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise InspectorDown(answer["error"])
        tokens = [
            InspectedToken(t["id"], t["logprob"], [(number, p) for number, p in t["top"]]) for t in answer["tokens"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InspectorDown(f"no answer: {line[:200]!r}") from error
    if not all(math.isfinite(token.logprob) for token in tokens):
        raise InspectorDown("a probability that is not a number")
    return tokens
