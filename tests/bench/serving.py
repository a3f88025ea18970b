"""`make bench`: what the whole site serves, against its bare engine alone, and how soon a new policy answers."""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.bench import bare, training
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
    """Of one number of streams through the site."""

    streams: int
    beside_training: bool
    tokens_s: float
    first_ms: float
    first_p95_ms: float
    gap_ms: list[float]
    """p50, p95, p99 of the time between two pieces of text."""
    lag_ms: list[float]
    """p50, p95, p99 of a ping's round trip through the web process while all streams run."""
    cpu_percent: dict[str, float]
    """Of one core, of each part of the site."""
    memory_mb: dict[str, float]


@dataclass
class Pair:
    """The site and the bare engine, one right after the other."""

    load: float
    """Of the machine before the pair."""
    question: str
    """What the bare engine ran with: the site's own file and threads."""
    site: list[Figures]
    bare_tokens_s: dict[int, float]
    """By the number of streams; no process of a site is alive then."""

    def ratio(self, row: Figures) -> float:
        return row.tokens_s / self.bare_tokens_s[row.streams]


async def through_site(person: Person, conversations: list[str]) -> tuple[list[Heard], float, list[float]]:
    """All conversations, whose pages are open already, ask at once; what each heard, the seconds from there to the
    last end, and the round trips of pings meanwhile."""
    lags: list[float] = []

    async def ping() -> None:
        async with person.chat(conversations[0]) as chat:
            while True:
                sent = time.perf_counter()
                await chat.send(type="ping")
                while (await chat.receive())["type"] != "pong":
                    pass
                lags.append(time.perf_counter() - sent)
                await asyncio.sleep(0.5)

    async with contextlib.AsyncExitStack() as pages:
        chats = [await pages.enter_async_context(person.chat(one)) for one in conversations]
        pinging = asyncio.create_task(ping())
        started = time.perf_counter()
        heard = await asyncio.gather(*(chat.ask(PROMPT) for chat in chats))
        seconds = time.perf_counter() - started
        pinging.cancel()
        await asyncio.gather(pinging, return_exceptions=True)
    return list(heard), seconds, lags


def measure(site: Site, streams: int, rounds: int, *, beside_training: bool = False) -> Figures:
    """All streams at once, in as many rounds as make `rounds` replies."""
    person = Person(site.url, "chatter")
    heard: list[Heard] = []
    lags: list[float] = []
    seconds = 0.0
    before = Parts.of(site)
    for _ in range(max(1, rounds // streams)):
        conversations = shell(site, CONVERSATIONS.format(count=streams)).split()
        some, lasted, pings = asyncio.run(through_site(person, conversations))
        heard, lags, seconds = heard + some, lags + pings, seconds + lasted
    after = Parts.of(site)
    bad = [one.state for one in heard if one.state != "complete"]
    assert not bad, bad
    served = int(shell(site, TOKENS.format(ids=[one.reply for one in heard])))
    gaps = [b - a for one in heard for a, b in zip(one.arrivals, one.arrivals[1:], strict=False)]
    first, first_p95 = percentiles([one.first_s for one in heard], 50, 95)
    return Figures(
        streams, beside_training, round(served / seconds, 1), first, first_p95,
        percentiles(gaps, 50, 95, 99), percentiles(lags, 50, 95, 99),
        after.cpu_percent_since(before), after.memory_mb,
    )  # fmt: skip


def measure_site(site: Site, streams: list[int], rounds: int, *, trains: bool) -> list[Figures]:
    measure(site, 1, 1)  # what is loaded and compiled by the first reply
    rows = [measure(site, count, rounds) for count in streams]
    if trains:
        with training.beside(site, Path(tempfile.mkdtemp(dir=site.home)) / "training"):
            rows.append(measure(site, 1, rounds, beside_training=True))
    return rows


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


def table(pairs: list[Pair]) -> Table:
    title = f"through the site, against the bare engine with no site running: medians of {len(pairs)} pairs"
    shown = Table(title=title)
    titles = "streams|bare tok/s|site tok/s|ratio|first ms (p95)|gap ms p50/p95/p99|ping ms p50/p95/p99|CPU %|MiB"
    for column in titles.split("|"):
        shown.add_column(column, justify="right")
    for number, row in enumerate(pairs[-1].site):
        of_all = [(pair, pair.site[number]) for pair in pairs]
        shown.add_row(
            f"{row.streams}{' beside a training' if row.beside_training else ''}",
            str(round(median(pair.bare_tokens_s[row.streams] for pair, _ in of_all), 1)),
            str(round(median(one.tokens_s for _, one in of_all), 1)),
            f"{median(pair.ratio(one) for pair, one in of_all):.2f}",
            f"{row.first_ms} ({row.first_p95_ms})",
            " / ".join(map(str, row.gap_ms)), " / ".join(map(str, row.lag_ms)),
            ", ".join(f"{name} {share:.0f}" for name, share in sorted(row.cpu_percent.items())),
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
    options = _parse(arguments)
    home = Path(tempfile.mkdtemp(prefix="chamsae-bench-"))
    try:
        pairs = [measure_pair(home, options) for _ in range(options.pairs)]
        swap_s = measure_swap(home, options) if options.swap else None
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if options.json:
        rows = [{**asdict(pair), "ratios": [round(pair.ratio(row), 3) for row in pair.site]} for pair in pairs]
        print(json.dumps({"pairs": rows, "live_row_to_first_token_s": swap_s}))  # noqa: T201
        return
    console = Console(width=200)
    console.print(table(pairs))
    loads = ", ".join(str(pair.load) for pair in pairs)
    console.print(f"bare: {pairs[-1].question}, no process of the site alive; load average before each pair: {loads}")
    if swap_s is not None:
        console.print(f"from the live row to the first token that it served: {swap_s} s")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--tokens", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=8, help="replies that are measured for few streams")
    parser.add_argument("--pairs", type=int, default=3, help="how often site and bare engine are measured in turn")
    parser.add_argument("--no-training", dest="training", action="store_false", help="not beside a training as well")
    parser.add_argument("--no-swap", dest="swap", action="store_false", help="not how soon a new policy answers")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def measure_pair(home: Path, options: argparse.Namespace) -> Pair:
    load = round(os.getloadavg()[0], 2)
    with running(home, options) as site:
        question = bare.Question.of(site, PROMPT, options.tokens)
        rows = measure_site(site, options.streams, options.rounds, trains=options.training)
    streams = sorted({row.streams for row in rows})
    rates = bare.rates(question, streams, options.rounds)  # the site has ended: running_site looked for its processes
    return Pair(load, str(question), rows, dict(zip(streams, (round(rate, 1) for rate in rates), strict=True)))


def measure_swap(home: Path, options: argparse.Namespace) -> float:
    with running(home, options) as site:
        (conversation,) = shell(site, CONVERSATIONS.format(count=1)).split()
        return round(asyncio.run(swap(site, conversation)), 2)


def running(home: Path, options: argparse.Namespace) -> contextlib.AbstractContextManager[Site]:
    """Without what tests/site.py lowers for tests: the engine has all cores, a training has what is left over."""
    settings = {**LIMITS, "CHAMSAE_MAX_COMPLETION_TOKENS": str(options.tokens), "CHAMSAE_TRAIN_NICENESS": "idle"}
    return running_site(home, model(), patience_s=180, **settings)


if __name__ == "__main__":
    main()
