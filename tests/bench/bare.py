"""The bare engine, alone on the machine: the site's file, threads and prompt, with no process of a site alive."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.bench.parts import shell
from tests.site import Site

ROOT = Path(__file__).resolve().parents[2]
QUESTION = """
import json
from chat import policies
from chat.engines.child import SHORT_WAITING
from chat.engines.engine import Parameters
from chat.engines.loading import engine_for
from chat.prompts.fitting import fit
from chat.prompts.rendering import renderer
policy = policies.live()
engine = engine_for(policy)
prompt = fit([{{"role": "user", "content": {prompt!r}}}], renderer(policies.directory(policy)),
             context_tokens=2048, completion_tokens={tokens})
print(json.dumps({{
    "module": engine.module,
    "environment": SHORT_WAITING,
    "config": engine.child_config("bench"),
    "request": engine.request(prompt, Parameters(max_completion_tokens={tokens})),
}}))
"""


@dataclass(frozen=True)
class Question:
    """How the site starts its engine, and what its talker asks it."""

    module: str
    environment: dict[str, str]
    config: dict[str, Any]
    request: dict[str, Any]

    @classmethod
    def of(cls, site: Site, prompt: str, tokens: int) -> "Question":
        told = json.loads(shell(site, QUESTION.format(prompt=prompt, tokens=tokens)))
        return cls(**{**told, "environment": {**site.environment, **told["environment"]}})

    def __str__(self) -> str:
        file = Path(self.config.get("gguf") or self.config.get("directory", ""))
        return f"{file.name} of {file.stat().st_size / 1e6:.0f} MB, {self.config['threads']} threads"


def rates(question: Question, streams: list[int], rounds: int) -> list[float]:
    """Tokens a second for each number of streams, asked at once in as many rounds as make `rounds` replies."""
    with _started(question) as url:
        asyncio.run(_rate(question, url, 1, 1))  # pages of the file are read, threads are there
        return [asyncio.run(_rate(question, url, count, max(1, rounds // count))) for count in streams]


@contextlib.contextmanager
def _started(question: Question) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", question.module],
        cwd=ROOT,
        env=question.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(question.config) + "\n")
        process.stdin.flush()
        yield json.loads(process.stdout.readline())["url"] + "/v1"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


async def _rate(question: Question, url: str, streams: int, rounds: int) -> float:
    headers = {"Authorization": f"Bearer {question.config['key']}", "Connection": "close"}
    async with httpx.AsyncClient(base_url=url, timeout=300, headers=headers) as client:
        started = time.perf_counter()
        tokens = 0
        for first in range(0, rounds * streams, streams):
            asked = (_tokens(client, {**question.request, "seed": seed}) for seed in range(first, first + streams))
            tokens += sum(await asyncio.gather(*asked))
    return tokens / (time.perf_counter() - started)


async def _tokens(client: httpx.AsyncClient, request: dict[str, Any]) -> int:
    count = 0
    async with client.stream("POST", "/completions", json=request) as response:
        async for line in response.aiter_lines():
            if '"usage"' in line and line.startswith("data: {"):
                count = (json.loads(line[6:]).get("usage") or {}).get("completion_tokens", count)
    return count
