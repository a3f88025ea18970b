"""Many replies at once through the whole site: what talker, rows and web process add to a token's way to its reader.

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
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table
from websockets.exceptions import WebSocketException

from tests.bench.parts import Parts, percentiles, shell
from tests.load.line import Line
from tests.person import Person
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
PATIENCE_S = 60.0
"""A reply that takes this much longer than its tokens do is given up."""
LAG_EVERY_S = 0.05


@dataclass
class Stream:
    """What one reader got, over all its replies."""

    replies: int = 0
    tokens: int = 0
    frames: int = 0
    lost: int = 0
    """Tokens that a reply should have had and had not."""
    out_of_order: int = 0
    """Pieces whose number does not follow the one before, and tokens older than the one before."""
    problem: str = ""
    """Why it gave up."""
    added_s: "array[float]" = field(default_factory=lambda: array("d"))
    first_s: list[float] = field(default_factory=list)


@dataclass
class Report:
    streams: int
    minutes: float
    replies: int
    tokens: int
    frames: int
    """In which they came."""
    lost: int
    out_of_order: int
    problems: list[str]
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
    """One conversation: asks, reads the reply to its end, and asks again until the time is over."""

    def __init__(self, stream: Stream, tokens: int, pace: float) -> None:
        self.stream, self.tokens = stream, tokens
        self.patience_s = tokens / pace + PATIENCE_S
        self.parent: int | None = None
        self.asked_at = 0.0
        self.seq = 0
        self.text: list[str] = []
        self.newest = 0
        self.had = 0
        self.ended = asyncio.Event()

    async def read_until(self, line: Line, end: float) -> None:
        while time.monotonic() < end and not self.stream.problem:
            self.asked_at, self.seq, self.text, self.had = time.time(), 0, [], 0
            self.ended.clear()
            line.send(type="message.send", text="Go on.", key=uuid.uuid4().hex, parent=self.parent)
            async with asyncio.timeout(self.patience_s):
                await self.ended.wait()

    def hear(self, event: dict[str, Any]) -> None:
        if event["type"] == "reply.chunk":
            self.take(event["first"], event["seq"], event["text"])
        elif event["type"] == "message.accepted":
            self.parent = event["reply"]["message"]
        elif event["type"] == "error":
            self.give_up(event["code"])
        elif event["type"] == "reply.done":
            self.finish(event["state"], event["text"])

    def take(self, first: int, seq: int, text: str) -> None:
        now, stream = time.time(), self.stream
        if not self.seq:
            stream.first_s.append(now - self.asked_at)
        stream.out_of_order += first != self.seq + 1
        stream.frames += 1
        self.seq = seq
        self.text.append(text)
        for made_at in map(int, text.split()):
            stream.out_of_order += made_at < self.newest
            self.newest = made_at
            self.had += 1
            stream.added_s.append(now - made_at / 1e6)

    def finish(self, state: str, text: str) -> None:
        stream = self.stream
        stream.replies += 1
        stream.tokens += self.had
        stream.lost += self.tokens - self.had
        if state != "complete":
            stream.problem = state
        elif text != "".join(self.text):
            stream.problem = "the whole is not what the pieces make"
        self.ended.set()

    def give_up(self, problem: object) -> None:
        self.stream.problem = str(problem)
        self.ended.set()


async def listen(
    person: Person, conversation: str, stream: Stream, tokens: int, pace: float, start: float, end: float
) -> None:
    await asyncio.sleep(start - time.monotonic())
    reader = Reader(stream, tokens, pace)
    try:
        line = await Line.opened(person, conversation, reader.hear, reader.give_up)
        try:
            await reader.read_until(line, end)
        finally:
            line.close()
    except (OSError, TimeoutError, WebSocketException) as error:
        stream.problem = repr(error)


async def watch_lag(lags: list[float]) -> None:
    while True:
        due = time.perf_counter() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        lags.append(time.perf_counter() - due)


async def listen_to_all(
    site: Site, conversations: list[str], tokens: int, pace: float, minutes: float, ramp_s: float
) -> tuple[list[Stream], list[float]]:
    person, lags = Person(site.url, "chatter"), list[float]()
    streams = [Stream() for _ in conversations]
    watching = asyncio.create_task(watch_lag(lags))
    begin = time.monotonic()
    end = begin + ramp_s + 60 * minutes
    pause = ramp_s / len(streams)
    await asyncio.gather(
        *(
            listen(person, conversation, stream, tokens, pace, begin + pause * number, end)
            for number, (conversation, stream) in enumerate(zip(conversations, streams, strict=True))
        )
    )
    watching.cancel()
    return streams, lags


def measure(site: Site, streams: int, minutes: float, tokens: int, pace: float, ramp_s: float) -> Report:
    conversations = shell(site, CONVERSATIONS.format(count=streams)).split()
    before = Parts.of(site)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the site's own
        heard, lags = runner.run(listen_to_all(site, conversations, tokens, pace, minutes, ramp_s))
    after = Parts.of(site)
    added = [seconds for one in heard for seconds in one.added_s]
    return Report(
        streams=streams,
        minutes=minutes,
        replies=sum(one.replies for one in heard),
        tokens=sum(one.tokens for one in heard),
        frames=sum(one.frames for one in heard),
        lost=sum(one.lost for one in heard),
        out_of_order=sum(one.out_of_order for one in heard),
        problems=sorted({one.problem for one in heard} - {""}),
        added_ms=[*percentiles(added, 50, 95, 99), round(1000 * max(added, default=math.nan), 1)],
        first_ms=percentiles([seconds for one in heard for seconds in one.first_s], 50, 95),
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
    parser.add_argument("--reply", type=int, default=1200, metavar="TOKENS", help="tokens of a reply; then the next")
    parser.add_argument(
        "--ramp",
        type=float,
        metavar="SECONDS",
        help="in which the streams begin, one by one; by default as long as a reply takes, so that later turns come "
        "evenly, too",
    )
    parser.add_argument("--limit", type=float, default=0.0, help="exit with 1 if the added p95 is above so many ms")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    ramp_s = options.reply / options.pace if options.ramp is None else options.ramp
    script: dict[str, Any] = {"stamps": True, "tokens": options.reply, "seconds_a_token": 1 / options.pace}
    home = Path(tempfile.mkdtemp(prefix="chamsae-load-"))
    try:
        program = PROGRAM.format(script=repr(script))
        with running_site(
            home, program=program, patience_s=180, **settings_for(options.streams, options.reply)
        ) as site:
            report = measure(site, options.streams, options.minutes, options.reply, options.pace, ramp_s)
            tell(report, as_json=options.json)  # before the site is stopped: that may fail for reasons of its own
    finally:
        shutil.rmtree(home, ignore_errors=True)
    is_whole = not (report.lost or report.out_of_order or report.problems)
    return 0 if is_whole and (not options.limit or report.added_ms[1] <= options.limit) else 1


if __name__ == "__main__":
    sys.exit(main())
