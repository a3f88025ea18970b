"""`make bench ARGS="vllm --python PYTHON"`: a whole site before two vLLM servers that hold its policies as adapters.

Whether each policy says what transformers and PEFT say, how soon a promoted one answers, idle and under streams, what
becomes of those streams, whether a rollback says the same to the byte, and what a server that is killed takes along.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.parts import shell
from tests.bench.serving import CONVERSATIONS, LIMITS, model
from tests.bench.vllm_servers import Vllm, absence, greedy, serving, write_adapter
from tests.person import Heard, Person, take
from tests.site import Site, running_site

PROMPT = "Explain in a few sentences how a rainbow comes about."
POLICIES = ("policy-one", "policy-two")
COMPARED_TOKENS = 24
"""Of the greedy texts: later on the two differ by roundings alone, since bfloat16 is summed in another order."""
FIRST_TOKEN_S, END_S = 3.0, 60.0
"""Targets: from a promotion to a token of the new policy, and from a death to the last end of what it took."""
ADD = """
import hashlib, json, os, shutil
from django.conf import settings
from chat import policies
base = policies.live()
for name in {names}:
    target = settings.MODELS_DIR / name
    target.mkdir()
    for file in policies.directory(base).iterdir():
        os.link(file, target / file.name)
    shutil.copytree("{folder}/" + name, target / "adapter")
    about = {{"base": base.directory, "base_sha256": base.manifest_sha256}}
    (target / "adapter/base.json").write_text(json.dumps(about))
    manifest = json.loads((target / "manifest.json").read_text())
    for file in (target / "adapter").iterdir():
        content = file.read_bytes()
        entry = {{"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}}
        manifest["files"]["adapter/" + file.name] = entry
    (target / "manifest.json").unlink()
    (target / "manifest.json").write_text(json.dumps(manifest))
    policies.register(target, name=name, source="bench", base=base)
"""
MAKE_LIVE = """
import time
from django.db import transaction
from chat.models import EngineProcess, Policy
with transaction.atomic():
    Policy.objects.filter(is_live=True).update(is_live=False)
    Policy.objects.filter(name={name!r}).update(is_live=True)
saved = time.monotonic()
while not EngineProcess.objects.filter(policy__name={name!r}, state="ready", is_default=True).exists():
    assert time.monotonic() < saved + 60, "it is not served"
    time.sleep(0.01)
print(time.monotonic() - saved)
"""


@dataclass
class Figures:
    load: float
    """Of the machine before the servers started."""
    alike: dict[str, str] = field(default_factory=dict)
    """Policy -> how many of the characters of transformers' greedy text come first in the site's."""
    ready_s: dict[str, float] = field(default_factory=dict)
    """Promotion -> from the live row until new replies go to the policy."""
    first_token_s: dict[str, float] = field(default_factory=dict)
    """Promotion -> to the first token of a person who asks at that moment."""
    streams_s: float = 0.0
    """How long all streams together took, beside each other."""
    old_streams: dict[str, int] = field(default_factory=dict)
    """Ends of the streams that were under way at the promotion, with their policy."""
    is_rollback_alike: bool = False
    """The same greedy text, byte by byte, as before the promotion."""
    loads: list[list[str]] = field(default_factory=list)
    """What each server loaded up to the rollback, in order."""
    killed: dict[str, int] = field(default_factory=dict)
    """Ends of the streams, half of which were on the server that was killed."""
    last_cut_s: float = 0.0
    """From the kill to the last end of a stream that it took."""
    kept_characters: int = 0
    """Of the cut replies, on average."""
    back_s: float | None = None
    """From the restarted server's first answer until it has the live policy again; None where it stayed dead."""

    def misses(self) -> list[str]:
        slow = [f"{name}: {s} s to the first token" for name, s in self.first_token_s.items() if s > FIRST_TOKEN_S]
        found = slow + ([] if self.is_rollback_alike else ["the rollback says something else"])
        if self.last_cut_s > END_S:
            found.append(f"{self.last_cut_s} s to the end of a reply whose server was killed")
        return found


@dataclass
class Bench:
    site: Site
    servers: list[Vllm]
    person: Person

    def conversations(self, count: int) -> list[str]:
        return shell(self.site, CONVERSATIONS.format(count=count)).split()

    def make_live(self, name: str) -> float:
        return round(float(shell(self.site, MAKE_LIVE.format(name=name))), 2)

    async def ask(self) -> Heard:
        """One person, with nobody else."""
        (conversation,) = await asyncio.to_thread(self.conversations, 1)
        async with self.person.chat(conversation) as chat:
            return await chat.ask(PROMPT)

    @contextlib.asynccontextmanager
    async def asking(self, count: int) -> AsyncIterator[tuple[list[Heard], "asyncio.Future[list[None]]"]]:
        """So many people at once: what each hears, while it comes, and its end."""
        heard = [Heard() for _ in range(count)]
        async with contextlib.AsyncExitStack() as pages:
            follow = []
            for conversation, one in zip(await asyncio.to_thread(self.conversations, count), heard, strict=True):
                chat = await pages.enter_async_context(self.person.chat(conversation))
                follow.append(_follow(chat, one))
            yield heard, asyncio.gather(*follow)


async def _follow(chat, heard: Heard) -> None:  # type: ignore[no-untyped-def]
    heard.sent_at = time.perf_counter()
    await chat.send(type="message.send", text=PROMPT, key=uuid.uuid4().hex, parent=None)
    while heard.state not in ("complete", "stopped", "interrupted", "failed"):
        take(heard, await chat.receive())


async def _all_begun(heard: list[Heard]) -> None:
    while not all(one.text for one in heard):
        await asyncio.sleep(0.05)


def alike(text: str, reference: str) -> str:
    same = next((n for n, (a, b) in enumerate(zip(text, reference, strict=False)) if a != b), len(reference))
    return f"{min(same, len(reference))} of {len(reference)}"


async def measure(bench: Bench, references: dict[str, str], options: argparse.Namespace, figures: Figures) -> None:
    one, two = POLICIES
    before: dict[str, Heard] = {"base": await bench.ask()}
    for place, name in enumerate((one, two, one), start=1):
        title = f"{place}: to {name}"
        figures.ready_s[title] = await asyncio.to_thread(bench.make_live, name)
        heard = before[name] = await bench.ask()
        assert heard.policy == name, heard
        figures.first_token_s[title] = round(figures.ready_s[title] + heard.first_s, 2)
    for name, reference in references.items():
        figures.alike[name] = alike(before[name].text, reference)
    await _under_streams(bench, options.streams, figures)
    figures.ready_s["back"] = await asyncio.to_thread(bench.make_live, one)
    again = await bench.ask()
    figures.first_token_s["back"] = round(figures.ready_s["back"] + again.first_s, 2)
    figures.is_rollback_alike = (again.policy, again.text) == (one, before[one].text)
    figures.loads = [server.loads() for server in bench.servers]
    await _with_a_death(bench, options.streams, figures)
    if options.restart:
        await _with_a_restart(bench.servers[0], figures)


async def _under_streams(bench: Bench, streams: int, figures: Figures) -> None:
    """The second policy goes live while all streams are at the first."""
    async with bench.asking(streams) as (heard, ends):
        started = time.perf_counter()
        await _all_begun(heard)
        figures.ready_s["under streams"] = await asyncio.to_thread(bench.make_live, POLICIES[1])
        asked = await bench.ask()
        assert asked.policy == POLICIES[1], asked
        figures.first_token_s["under streams"] = round(figures.ready_s["under streams"] + asked.first_s, 2)
        await ends
        figures.streams_s = round(time.perf_counter() - started, 1)
    figures.old_streams = dict(Counter(f"{one.state} {one.policy}" for one in heard))


async def _with_a_death(bench: Bench, streams: int, figures: Figures) -> None:
    victim = bench.servers[0]
    async with bench.asking(streams) as (heard, ends):
        await _all_begun(heard)
        await asyncio.to_thread(victim.kill)
        killed_at = time.perf_counter()
        cut_at = 0.0
        while not ends.done():
            await asyncio.sleep(0.1)
            cut = sum(one.state in ("interrupted", "failed") for one in heard)
            if cut != figures.killed.get("cut", 0):
                figures.killed["cut"], cut_at = cut, time.perf_counter()
        await ends
    figures.killed = dict(Counter(one.state for one in heard))
    figures.last_cut_s = round(cut_at - killed_at, 1) if cut_at else 0.0
    lengths = [len(one.text) for one in heard if one.state == "interrupted"]
    figures.kept_characters = round(sum(lengths) / len(lengths)) if lengths else 0


async def _with_a_restart(victim: Vllm, figures: Figures) -> None:
    victim.start()
    await asyncio.to_thread(victim.until_healthy)
    healthy_at = time.perf_counter()
    while POLICIES[0] not in await asyncio.to_thread(victim.names):
        assert time.perf_counter() < healthy_at + 60, "the restarted server did not get the policy"
        await asyncio.sleep(0.1)
    figures.back_s = round(time.perf_counter() - healthy_at, 1)


def table(figures: Figures, streams: int) -> Table:
    shown = Table(title=f"a site before two vLLM servers, {streams} streams, load before {figures.load}")
    shown.add_column("what")
    shown.add_column("how")
    for name, count in figures.alike.items():
        shown.add_row(f"characters as transformers says them, {name}", count)
    for name, seconds in figures.first_token_s.items():
        shown.add_row(f"promotion to first token, {name}", f"{seconds} s (served after {figures.ready_s[name]} s)")
    shown.add_row("streams under way at a promotion", f"{figures.old_streams} within {figures.streams_s} s")
    shown.add_row("the rollback's text", "the same" if figures.is_rollback_alike else "another")
    for number, loads in enumerate(figures.loads, start=1):
        shown.add_row(f"adapters that server {number} loaded, up to the rollback", ", ".join(loads))
    shown.add_row("streams, one of two servers killed", str(figures.killed))
    shown.add_row(
        "last end of those that it took", f"{figures.last_cut_s} s, with {figures.kept_characters} characters"
    )
    if figures.back_s is not None:
        shown.add_row("a restarted server has the policy after", f"{figures.back_s} s")
    return shown


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='make bench ARGS="vllm"', description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="of an environment with vLLM")
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--no-compare", dest="compare", action="store_false", help="not with transformers")
    parser.add_argument("--no-restart", dest="restart", action="store_false", help="the killed server stays dead")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    console = Console(width=160)
    if reason := absence(options.python):
        console.print(f"skipped: {reason}")
        return 0
    home = Path(tempfile.mkdtemp(prefix="chamsae-bench-"))
    try:
        figures = run(home, options)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    console.print_json(json.dumps(asdict(figures))) if options.json else console.print(
        table(figures, options.streams)
    )
    for miss in figures.misses():
        console.print(f"missed: {miss}")
    return int(bool(figures.misses()))


def run(home: Path, options: argparse.Namespace) -> Figures:
    figures = Figures(round(os.getloadavg()[0], 2))
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # beside other work more threads are slower, not faster
    base = model()
    adapters = home / "adapters"
    for seed, name in enumerate(POLICIES, start=1):
        write_adapter(base, adapters / name, seed)
    compared = min(options.tokens, COMPARED_TOKENS)
    folders = {"base": None, **{name: adapters / name for name in POLICIES}} if options.compare else {}
    references = {name: greedy(base, folder, PROMPT, compared) for name, folder in folders.items()}
    with serving(options.python, base, base.name, home, count=2) as servers:
        settings = {
            **LIMITS,
            "CHAMSAE_ENGINE": "chat.engines.openai.OpenAIEngine",
            "CHAMSAE_ENGINE_URL": ",".join(server.url for server in servers),
            "CHAMSAE_ENGINE_SLOTS": str(options.streams),
            "CHAMSAE_TEMPERATURE": "0",
            "CHAMSAE_MAX_COMPLETION_TOKENS": str(options.tokens),
        }
        with running_site(home, base, patience_s=180, **settings) as site:
            shell(site, ADD.format(names=list(POLICIES), folder=adapters))
            bench = Bench(site, servers, Person(site.url, "chatter"))
            asyncio.run(measure(bench, references, options, figures))
    return figures
