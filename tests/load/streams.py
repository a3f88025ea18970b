"""Many replies at once through the whole site: what talker, rows and Daphne add to a token's way to its reader.

A scripted engine writes tokens at a set pace, each being the moment of its making; as many websockets read them by
the clock of the same machine. `make bench ARGS="load --streams 200 --minutes 10"`; on PostgreSQL and Redis where
DATABASE_URL and REDIS_URL say so.
"""

import argparse
import asyncio
import json
import math
import shutil
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from websockets.exceptions import WebSocketException

from tests.bench.parts import Parts, percentiles, shell
from tests.person import Chat, Person
from tests.site import Site, running_site

PROGRAM = """
import json
from accounts import demo
from chat.models import Conversation, Policy
demo.create_accounts()
Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True, source=json.dumps({script}))
"""
CONVERSATIONS = """
from accounts.models import User
from chat.models import Conversation
owner = User.objects.get(username="chatter")
rows = Conversation.objects.bulk_create(Conversation(owner=owner) for _ in range({count}))
print("\\n".join(str(row.pk) for row in rows))
"""
STORED = """
from chat.models import Chunk, Reply
print(Reply.objects.filter(state="complete").count(), Chunk.objects.count())
"""
QUIET_S = 30.0
"""A stream that says nothing for this long is given up."""
LAG_EVERY_S = 0.05


@dataclass
class Stream:
    """What one reader got."""

    wanted: int
    tokens: int = 0
    seq: int = 0
    """Of the last piece; each came in a frame of its own."""
    out_of_order: int = 0
    """Chunks whose number does not follow the one before, and tokens older than the one before."""
    differs: bool = False
    """Whether the whole text at the end is not what the pieces made."""
    state: str = ""
    latencies_s: list[float] = field(default_factory=list)
    first_s: float = math.nan

    @property
    def lost(self) -> int:
        return self.wanted - self.tokens


@dataclass
class Report:
    streams: int
    minutes: float
    tokens: int
    frames: int
    """In which they came."""
    lost: int
    out_of_order: int
    unfinished: int
    added_ms: list[float]
    """p50, p95, p99 and the longest, from the making of a token to its arrival."""
    first_ms: list[float]
    """p50, p95 from the sending of the message to the first token."""
    reader_lag_ms: list[float]
    """p50, p99 of this script's own event loop, which is part of the figures above."""
    memory_mb: dict[str, list[float]]
    """Of each part of the site: at the start and at the end."""
    cpu_percent: dict[str, float]
    """Of one core."""


class Reader:
    """One conversation: asks, and reads its reply to the end."""

    def __init__(self, chat: Chat, stream: Stream) -> None:
        self.chat, self.stream = chat, stream
        self.text: list[str] = []
        self.newest = 0

    async def read(self) -> None:
        stream, asked_at = self.stream, time.time()
        await self.chat.send(type="message.send", text="Go on.", key=uuid.uuid4().hex, parent=None)
        while stream.state not in ("complete", "stopped", "interrupted", "failed", "blocked"):
            event = await asyncio.wait_for(self.chat.receive(), QUIET_S)
            if event["type"] == "error":
                stream.state = event["code"]
                return
            if event["type"] == "reply.chunk":
                self.take(event["seq"], event["text"])
                if math.isnan(stream.first_s):
                    stream.first_s = time.time() - asked_at
            elif event["type"] == "reply.done":
                stream.state = event["state"]
                stream.differs = event["text"] != "".join(self.text)

    def take(self, seq: int, text: str) -> None:
        now = time.time()
        stream = self.stream
        stream.out_of_order += seq != stream.seq + 1
        stream.seq = seq
        self.text.append(text)
        for made_at in map(int, text.split()):
            stream.out_of_order += made_at < self.newest
            self.newest = made_at
            stream.tokens += 1
            stream.latencies_s.append(now - made_at / 1e6)


async def listen(person: Person, conversation: str, stream: Stream, after_s: float) -> None:
    await asyncio.sleep(after_s)
    try:
        async with person.chat(conversation) as chat:
            await Reader(chat, stream).read()
    except (OSError, TimeoutError, WebSocketException) as error:
        stream.state = f"lost: {error!r}"


async def watch_lag(lags: list[float]) -> None:
    while True:
        due = time.perf_counter() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        lags.append(time.perf_counter() - due)


async def listen_to_all(
    site: Site, tokens: int, conversations: list[str], ramp_s: float
) -> tuple[list[Stream], list[float]]:
    person, lags = Person(site.url, "chatter"), list[float]()
    streams = [Stream(tokens) for _ in conversations]
    watching = asyncio.create_task(watch_lag(lags))
    pause = ramp_s / len(streams)
    await asyncio.gather(
        *(
            listen(person, conversation, stream, pause * number)
            for number, (conversation, stream) in enumerate(zip(conversations, streams, strict=True))
        )
    )
    watching.cancel()
    return streams, lags


def measure(site: Site, streams: int, minutes: float, tokens: int, ramp_s: float) -> Report:
    conversations = shell(site, CONVERSATIONS.format(count=streams)).split()
    before = Parts.of(site)
    heard, lags = asyncio.run(listen_to_all(site, tokens, conversations, ramp_s))
    after = Parts.of(site)
    added = [latency for one in heard for latency in one.latencies_s]
    complete, chunks = map(int, shell(site, STORED).split())
    unfinished = [one.state for one in heard if one.state != "complete" or one.differs]
    if unfinished:
        said = f"not complete: {sorted(set(unfinished))}; stored are {complete} whole, {chunks} chunks"
        print(said, file=sys.stderr)  # noqa: T201
    return Report(
        streams=streams,
        minutes=minutes,
        tokens=sum(one.tokens for one in heard),
        frames=sum(one.seq for one in heard),
        lost=sum(one.lost for one in heard),
        out_of_order=sum(one.out_of_order for one in heard),
        unfinished=len(unfinished),
        added_ms=[*percentiles(added, 50, 95, 99), round(1000 * max(added, default=math.nan), 1)],
        first_ms=percentiles([one.first_s for one in heard], 50, 95),
        reader_lag_ms=percentiles(lags, 50, 99),
        memory_mb={name: [before.memory_mb.get(name, 0), size] for name, size in after.memory_mb.items()},
        cpu_percent=after.cpu_percent_since(before),
    )


def settings_for(streams: int, tokens: int) -> dict[str, str]:
    return {
        "CHAMSAE_MESSAGES_PER_MINUTE": "1000000",
        "CHAMSAE_REPLIES_PER_USER": "100000",
        "CHAMSAE_QUEUE_LIMIT": "100000",
        "CHAMSAE_ENGINE_SLOTS": str(streams),
        "CHAMSAE_CONTEXT_TOKENS": str(2 * tokens + 4096),
        "CHAMSAE_MAX_COMPLETION_TOKENS": str(tokens),
        "CHAMSAE_TASK_STOCK": "0",
        "CHAMSAE_LOG_LEVEL": "WARNING",
        "CHAMSAE_DEBUG": "1",
    }


def tell(report: Report, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(vars(report)), flush=True)  # noqa: T201
    else:
        Console(width=140).print(table(report))


def table(report: Report) -> Table:
    shown = Table(title=f"{report.streams} streams for {report.minutes:g} minutes", show_header=False)
    for name, value in vars(report).items():
        text = (
            ", ".join(f"{part} {figure}" for part, figure in value.items()) if isinstance(value, dict) else str(value)
        )
        shown.add_row(name, text)
    return shown


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load.streams", description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pace", type=float, default=20.0, help="tokens a second of each stream")
    parser.add_argument("--ramp", type=float, default=5.0, help="seconds in which the streams begin, one by one")
    parser.add_argument("--limit", type=float, default=0.0, help="exit with 1 if the added p95 is above so many ms")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    tokens = max(1, round(options.minutes * 60 * options.pace))
    script: dict[str, Any] = {"stamps": True, "tokens": tokens, "seconds_a_token": 1 / options.pace}
    home = Path(tempfile.mkdtemp(prefix="chamsae-load-"))
    try:
        program = PROGRAM.format(script=repr(script))
        with running_site(home, program=program, patience_s=180, **settings_for(options.streams, tokens)) as site:
            report = measure(site, options.streams, options.minutes, tokens, options.ramp)
            tell(report, as_json=options.json)  # before the site is stopped: that may fail for reasons of its own
    finally:
        shutil.rmtree(home, ignore_errors=True)
    is_whole = not (report.lost or report.out_of_order or report.unfinished)
    return 0 if is_whole and (not options.limit or report.added_ms[1] <= options.limit) else 1


if __name__ == "__main__":
    sys.exit(main())
