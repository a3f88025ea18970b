"""`make bench`: what the whole site serves beside its bare engine, and how soon a new policy answers."""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from tests.bench.parts import Parts, percentiles, shell
from tests.person import Heard, Person
from tests.site import Site, running_site

ROOT = Path(__file__).resolve().parents[2]
PROMPT = "Explain in a few sentences how a rainbow comes about."
LIMITS = {
    "CHAMSAE_MESSAGES_PER_MINUTE": "100000",
    "CHAMSAE_REPLIES_PER_USER": "1000",
    "CHAMSAE_QUEUE_LIMIT": "1000",
    "CHAMSAE_TASK_STOCK": "0",
    "CHAMSAE_LOG_LEVEL": "WARNING",
}
CONVERSATIONS = """
from accounts.models import User
from chat.models import Conversation
owner = User.objects.get(username="chatter")
print("\\n".join(str(Conversation.objects.create(owner=owner).pk) for _ in range({count})))
"""
ENGINE = """
import json
from chat import policies
from chat.engines.loading import key_of
from chat.models import EngineProcess
from chat.prompts.fitting import fit
from chat.prompts.rendering import renderer
policy = policies.live()
row = EngineProcess.objects.filter(policy=policy, state="ready").latest("id")
prompt = fit([{{"role": "user", "content": {prompt!r}}}], renderer(policies.directory(policy)),
             context_tokens=2048, completion_tokens={tokens})
print(json.dumps({{"url": row.url, "key": key_of(row.pk), "ids": list(prompt.ids)}}))
"""
TOKENS = """
from chat.models import Reply
print(sum(Reply.objects.filter(pk__in={ids}).values_list("completion_tokens", flat=True)))
"""
SWAP = """
import os, time
from django.conf import settings
from django.db import transaction
from chat import policies
from chat.models import Policy
old = policies.live()
target = settings.MODELS_DIR / "bench-copy"
target.mkdir()
for file in policies.directory(old).iterdir():
    os.link(file, target / file.name)
new = policies.register(target, name="bench-copy", source="bench", base=old)
with transaction.atomic():
    Policy.objects.filter(pk=old.pk).update(is_live=False)
    Policy.objects.filter(pk=new.pk).update(is_live=True)
print(time.time())
"""


@dataclass
class Figures:
    streams: int
    bare_tokens_s: float
    tokens_s: float
    first_ms: float
    first_p95_ms: float
    gap_ms: list[float]
    """p50, p95, p99 of the time between two pieces of text."""
    lag_ms: list[float]
    """p50, p95, p99 of a ping's round trip through the web process while all streams run."""
    memory_mb: dict[str, float]


async def bare(engine: dict[str, Any], streams: int, tokens: int) -> float:
    """Tokens a second of the engine alone, asked as the talker asks it."""
    asked = {
        "prompt": engine["ids"],
        "max_tokens": tokens,
        "temperature": 0.7,
        "top_k": 0,
        "min_p": 0.0,
        "stream": True,
    }

    async def one(client: httpx.AsyncClient, seed: int) -> int:
        count = 0
        request = {**asked, "seed": seed, "stream_options": {"include_usage": True}}
        async with client.stream("POST", f"{engine['url']}/completions", json=request) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    count = (json.loads(line[6:]).get("usage") or {}).get("completion_tokens", count)
        return count

    headers = {"Authorization": f"Bearer {engine['key']}", "Connection": "close"}
    async with httpx.AsyncClient(timeout=300, headers=headers) as client:
        started = time.perf_counter()
        counts = await asyncio.gather(*(one(client, seed) for seed in range(streams)))
    return sum(counts) / (time.perf_counter() - started)


async def through_site(person: Person, conversations: list[str]) -> tuple[list[Heard], float, list[float]]:
    """All conversations ask at once; what each heard, the seconds it took, and the round trips of pings meanwhile."""
    lags: list[float] = []

    async def one(conversation: str) -> Heard:
        async with person.chat(conversation) as chat:
            return await chat.ask(PROMPT)

    async def ping() -> None:
        async with person.chat(conversations[0]) as chat:
            while True:
                sent = time.perf_counter()
                await chat.send(type="ping")
                while (await chat.receive())["type"] != "pong":
                    pass
                lags.append(time.perf_counter() - sent)
                await asyncio.sleep(0.1)

    pinging = asyncio.create_task(ping())
    started = time.perf_counter()
    heard = await asyncio.gather(*map(one, conversations))
    seconds = time.perf_counter() - started
    pinging.cancel()
    await asyncio.gather(pinging, return_exceptions=True)
    return list(heard), seconds, lags


def measure(site: Site, streams: int, tokens: int) -> Figures:
    engine = json.loads(shell(site, ENGINE.format(prompt=PROMPT, tokens=tokens)))
    alone = asyncio.run(bare(engine, streams, tokens))
    conversations = shell(site, CONVERSATIONS.format(count=streams)).split()
    heard, seconds, lags = asyncio.run(through_site(Person(site.url, "chatter"), conversations))
    bad = [one.state for one in heard if one.state != "complete"]
    assert not bad, bad
    served = int(shell(site, TOKENS.format(ids=[one.reply for one in heard])))
    gaps = [b - a for one in heard for a, b in zip(one.arrivals, one.arrivals[1:], strict=False)]
    first, first_p95 = percentiles([one.first_s for one in heard], 50, 95)
    return Figures(
        streams, round(alone, 1), round(served / seconds, 1), first, first_p95,
        percentiles(gaps, 50, 95, 99), percentiles(lags, 50, 95, 99), Parts.of(site).memory_mb,
    )  # fmt: skip


async def swap(site: Site, conversation: str) -> float:
    """Seconds from the moment when another policy's row is live to the first token that it serves."""
    person = Person(site.url, "chatter")
    saved_at = float(await asyncio.to_thread(shell, site, SWAP))
    async with person.chat(conversation) as chat:
        while time.time() < saved_at + 60:
            heard = await chat.ask("Hello")
            if heard.policy == "bench-copy":
                return time.time() - (time.perf_counter() - heard.arrivals[0]) - saved_at
    raise AssertionError("the new policy did not answer within a minute")


def table(rows: list[Figures]) -> Table:
    shown = Table(title="through the site, beside its bare engine")
    titles = "streams|bare tok/s|site tok/s|ratio|first ms (p95)|gap ms p50/p95/p99|ping ms p50/p95/p99|MiB"
    for title in titles.split("|"):
        shown.add_column(title, justify="right")
    for row in rows:
        shown.add_row(
            str(row.streams), str(row.bare_tokens_s), str(row.tokens_s), f"{row.tokens_s / row.bare_tokens_s:.2f}",
            f"{row.first_ms} ({row.first_p95_ms})",
            " / ".join(map(str, row.gap_ms)), " / ".join(map(str, row.lag_ms)),
            ", ".join(f"{name} {size:.0f}" for name, size in sorted(row.memory_mb.items())),
        )  # fmt: skip
    return shown


def model() -> Path:
    """The real policy where it was fetched, else a tiny one, which says nothing about a real model's speed."""
    home = Path(os.environ.get("CHAMSAE_HOME") or ROOT / "var")
    found = sorted((home / "models").glob("*/manifest.json"))
    if found:
        return found[0].parent
    from tests.tiny import make_tiny_policy

    print("no model was fetched: measuring with a tiny random one", file=sys.stderr)  # noqa: T201
    return make_tiny_policy(Path(tempfile.mkdtemp()) / "tiny")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    home = Path(tempfile.mkdtemp(prefix="chamsae-bench-"))
    settings = {**LIMITS, "CHAMSAE_MAX_COMPLETION_TOKENS": str(options.tokens)}
    try:
        with running_site(home, model(), patience_s=180, **settings) as site:
            rows = [measure(site, streams, options.tokens) for streams in options.streams]
            (conversation,) = shell(site, CONVERSATIONS.format(count=1)).split()
            swap_s = round(asyncio.run(swap(site, conversation)), 2)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if options.json:
        print(json.dumps({"rows": [vars(row) for row in rows], "live_row_to_first_token_s": swap_s}))  # noqa: T201
        return
    console = Console(width=160)
    console.print(table(rows))
    console.print(f"from the live row to the first token that it served: {swap_s} s")


if __name__ == "__main__":
    main()
