"""Two hosts under people who talk and rank and beside a training, while each role is killed in turn and each service
is away for a while. `make bench ARGS="kills --times 30"`, with DATABASE_URL, REDIS_URL and CELERY_BROKER_URL set.

What is promised: no judgement is lost or doubled, no message is answered twice, every reply ends within a minute of
the database being there, trainings go on to their ends, and `fsck` finds nothing.
"""

import argparse
import asyncio
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from rich.console import Console
from websockets.exceptions import WebSocketException

from tests.bench.parts import percentiles
from tests.load.switch import Switch
from tests.load.two_hosts import ROLES, Host, suite_environment
from tests.person import Person
from tests.short_cycle import SHORT, TASTES, TINY
from tests.site import environment_of, own_database
from tests.tiny import make_tiny_policy

WITHIN_S = 60.0
"""A reply ends so soon after its message was taken."""
PAUSE_S = 2.0
"""Between a reply and the next question."""
QUIET_S = 8.0
"""A socket on which nothing is heard for so long is opened again."""
AWAY = (OSError, WebSocketException, httpx.HTTPError, TimeoutError, AssertionError, ValueError)
"""What a person meets while a web server or what it needs is away."""
ENDS = ("complete", "stopped", "interrupted", "failed", "blocked")
LONGER = {**SHORT, "policy": {**SHORT["policy"], "iterations": 8}}
PEOPLE = """
from django.contrib.auth.models import Group
from accounts import demo
from accounts.models import User
demo.create_accounts()
annotators = Group.objects.get(name="annotator")
for number in range({annotators}):
    user, _ = User.objects.get_or_create(username=f"annotator-{{number}}")
    user.set_password("chamsae-demo")
    user.save()
    user.groups.add(annotators)
"""
TRAIN = """
import time
from pathlib import Path
from rlhf import tasks
from rlhf.errors import CycleUnderWay
from rlhf.models import Run
from rlhf.runs import cycle
while not Path({stop!r}).exists():
    if cycle.live_cycle() is None:
        run = cycle.start(
            hyperparameters={settings}, seed=cycle.next_seed(), promotes=False, unqualified=True
        )
        tasks.enqueue(run.pk)
    time.sleep(2)
"""
FOUND = """
import json
from collections import Counter
from django.db.models import Count, F, Q
from chat.models import Message, Reply
from feedback.models import Ranking
from rlhf.models import Run
replies = Reply.objects.filter(message__conversation__owner__username="chatter")
ours = Ranking.objects.filter(is_simulated=False)
cycles = Run.objects.filter(parent=None)
late = [(reply.ended_at - reply.queued_at).total_seconds() for reply in replies.exclude(ended_at=None)]
print(json.dumps({
    "messages": Message.objects.filter(conversation__owner__username="chatter", role="user").count(),
    "replies": dict(Counter(replies.values_list("state", flat=True))),
    "latest_s": max(late, default=0.0),
    "live": replies.filter(state__in=Reply.LIVE).count(),
    "rankings": [list(pair) for pair in ours.values_list("task", "annotator__username")],
    "cycles": dict(Counter(cycles.values_list("state", flat=True))),
    "errors": sorted(set(cycles.exclude(error="").values_list("error", flat=True))),
    "cycles_live": cycles.filter(state__in=Run.LIVE).count(),
}))
"""


@dataclass
class Seen:
    """What people saw, beside what the rows say afterwards."""

    asked: int = 0
    states: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """From the message that was taken to the end of its reply, as the person heard it."""
    gaps: int = 0
    differing: int = 0
    """Replies whose pieces were not the whole."""
    waiting: int = 0
    """People whose last reply had not ended long after everything was back."""
    breaks: int = 0
    """Connections that broke."""
    judged: list[tuple[int, str]] = field(default_factory=list)
    """Rankings that the site said it has stored, by task and annotator."""


class Chatter:
    """Asks, reads to the end, on whichever web server answers; sends again under the same key what was not taken."""

    def __init__(self, people: list[Person], seen: Seen) -> None:
        self.people, self.seen, self.turn = people, seen, 0

    async def talk_until(self, over: asyncio.Event) -> None:
        while not over.is_set():
            try:
                conversation = await asyncio.to_thread(self._person().new_conversation)
            except AWAY:
                await self._elsewhere()
                continue
            await self._one(conversation)

    def _person(self) -> Person:
        return self.people[self.turn % len(self.people)]

    async def _elsewhere(self) -> None:
        self.seen.breaks += 1
        self.turn += 1
        await asyncio.sleep(0.5)

    async def _one(self, conversation: str) -> None:
        heard = _Heard(key=uuid.uuid4().hex)
        while heard.done is None:
            with contextlib.suppress(*AWAY):
                async with self._person().chat(conversation) as chat:
                    await chat.send(**heard.opening())
                    while heard.done is None:
                        async with asyncio.timeout(QUIET_S):
                            heard.take(await chat.receive())
            if heard.done is None:
                await self._elsewhere()
        seen = self.seen
        seen.asked += 1
        seen.states[heard.done["state"]] += 1
        seen.seconds.append(time.monotonic() - heard.taken_at)
        seen.gaps += heard.gaps
        if heard.done["state"] != "blocked":  # what follows the last sentence that passed is taken back
            seen.differing += heard.done["text"] != "".join(heard.texts)
        await asyncio.sleep(PAUSE_S)


@dataclass
class _Heard:
    key: str
    reply: int = 0
    taken_at: float = 0.0
    seq: int = 0
    gaps: int = 0
    texts: list[str] = field(default_factory=list)
    done: dict[str, Any] | None = None

    def opening(self) -> dict[str, Any]:
        if self.reply:
            return {"type": "reply.resume", "reply": self.reply, "after_seq": self.seq}
        return {"type": "message.send", "text": "What is a star?", "key": self.key, "parent": None}

    def take(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "message.accepted":
                self.reply, self.taken_at = event["reply"]["id"], self.taken_at or time.monotonic()
            case "error":
                raise OSError(event["code"])
            case "reply.chunk" if event["reply"] == self.reply:
                self.gaps += event["first"] != self.seq + 1
                self.seq = event["seq"]
                self.texts.append(event["text"])
            case "reply.done" if event["reply"] == self.reply:
                self.done = event


class Annotator:
    """Ranks one task after the other by the page's form; sends a form again whose answer was lost."""

    def __init__(self, name: str, people: list[Person], seen: Seen) -> None:
        self.name, self.people, self.seen, self.turn = name, people, seen, 0

    async def rank_until(self, over: asyncio.Event) -> None:
        while not over.is_set():
            try:
                await asyncio.to_thread(self._one)
            except AWAY:
                self.seen.breaks += 1
                self.turn += 1
            await asyncio.sleep(1)

    def _one(self) -> None:
        person = self.people[self.turn % len(self.people)]
        page = person.get("/rank/").text
        places = dict.fromkeys(re.findall(r'name="(place-\d+)"', page))
        if not places:
            return
        (address,) = set(re.findall(r'action="(/rank/\d+/submit/)"', page))
        (task,) = re.findall(r"\d+", address)
        form = {name: str(rank) for rank, name in enumerate(places, start=1)}
        self._send(address, int(task), form)

    def _send(self, address: str, task: int, form: dict[str, str]) -> None:
        """Sends a form again whose answer was lost; what the site confirmed must be there at the end."""
        for _ in range(40):
            person = self.people[self.turn % len(self.people)]
            with contextlib.suppress(httpx.HTTPError):
                token = person.http.cookies["csrftoken"]
                answer = person.http.post(address, data={"csrfmiddlewaretoken": token, **form})
                if answer.status_code == 302:
                    self.seen.judged.append((task, self.name))
                if answer.status_code < 500:
                    return
            self.turn += 1
            time.sleep(0.5)


@dataclass
class Report:
    times: int
    kills: Counter[str]
    away_s: float
    most_blocked: int
    """Replies that may be under way when the database goes: the guards can't ask it, and let nothing pass."""
    seen: Seen
    found: dict[str, Any]
    fsck: list[dict[str, Any]]

    def broken(self) -> list[str]:
        """Each promise that was not kept."""
        found, seen = self.found, self.seen
        stored = Counter((task, name) for task, name in found["rankings"])
        checks = {
            f"{len(set(seen.judged) - set(stored))} confirmed rankings were lost": set(seen.judged) <= set(stored),
            "rankings were stored twice": all(count == 1 for count in stored.values()),
            f"{found['messages']} messages, {seen.asked} asked": found["messages"] == seen.asked,
            f"{sum(found['replies'].values())} replies to {seen.asked} messages": sum(found["replies"].values())
            == seen.asked,
            f"{found['live']} replies never ended": found["live"] == 0,
            f"a reply ended after {found['latest_s']:.0f} s": found["latest_s"] <= WITHIN_S + self.away_s,
            f"{seen.waiting} people waited in vain": seen.waiting == 0,
            f"{seen.gaps} gaps in what was heard": seen.gaps == 0,
            f"{seen.differing} replies were not their pieces": seen.differing == 0,
            f"trainings failed: {found['errors']}": set(found["cycles"]) <= {"succeeded"},
            f"{found['replies'].get('blocked', 0)} replies were blocked": found["replies"].get("blocked", 0)
            <= self.most_blocked,
            "no training ended": found["cycles"].get("succeeded", 0) > 0,
            f"fsck: {self.fsck}": self.fsck == [],
        }
        return [problem for problem, kept in checks.items() if not kept]

    def lines(self) -> Iterator[str]:
        found, seen = self.found, self.seen
        yield f"kills: {dict(self.kills)}; each service away for {self.away_s:.0f} s"
        yield f"messages {found['messages']}, replies {found['replies']}; connections that broke {seen.breaks}"
        if seen.seconds:
            half, most = percentiles(seen.seconds, 50, 95)
            spread = f"median {half:.0f} ms, p95 {most:.0f} ms, longest {max(seen.seconds):.1f} s"
            yield f"from message to end as heard: {spread}"
        yield f"longest from queue to end by the rows: {found['latest_s']:.1f} s"
        yield f"rankings confirmed {len(seen.judged)}, stored {len(found['rankings'])}"
        yield f"cycles {found['cycles']}"
        yield from (f"NOT KEPT: {problem}" for problem in self.broken())
        if not self.broken():
            yield "every promise was kept"


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    folder = Path(tempfile.mkdtemp(prefix="chamsae-kills-"))
    with contextlib.ExitStack() as stack:
        services = suite_environment()
        services["DATABASE_URL"] = stack.enter_context(own_database())
        switches = {name: stack.enter_context(Switch(*_address(url))) for name, url in services.items()}
        through = {name: _at(url, switches[name].port) for name, url in services.items()}
        report = _measure(folder, through, switches, options)
    for line in report.lines():
        say(line)
    if report.broken():
        say(f"homes and logs: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='make bench ARGS="kills ..."', description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="how often each role of each host is killed")
    parser.add_argument("--every", type=float, default=4.0, help="seconds between two kills")
    parser.add_argument("--away", type=float, default=30.0, help="seconds for which each service is away, once")
    parser.add_argument("--chatters", type=int, default=4)
    parser.add_argument("--annotators", type=int, default=3)
    return parser.parse_args(arguments)


def say(text: str) -> None:
    Console().print(f"{time.strftime('%H:%M:%S')} {text}", markup=False, soft_wrap=True)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def _at(url: str, port: int) -> str:
    parts = urlsplit(url)
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{port}"))


def _measure(
    folder: Path, through: dict[str, str], switches: dict[str, Switch], options: argparse.Namespace
) -> Report:
    shared = environment_of(folder, "", **TINY, **through)
    shared |= {
        "CHAMSAE_SHARED_STATE": f"file://{folder / 'bucket'}",
        "CHAMSAE_SECRET_KEY": "of-both-hosts-" * 4,
        "CHAMSAE_TASK_STOCK": "24",
        "CHAMSAE_MESSAGES_PER_MINUTE": "100000",
        "CHAMSAE_REPLIES_PER_USER": "50",
        "CHAMSAE_CONTEXT_TOKENS": "512",
        "CHAMSAE_SIGN_IN_TRIES": "1000",
    }
    a, b = hosts = Host(folder / "a", shared), Host(folder / "b", shared)
    for host in hosts:
        host.environment["CHAMSAE_ORIGINS"] = f"{a.url},{b.url}"
    a.manage("migrate", "--verbosity", "0")
    a.manage("fetch_model", str(make_tiny_policy(folder / "policy")))
    a.shell(PEOPLE.format(annotators=options.annotators))
    a.manage("simulate_annotators", "--rankings", "24", *TASTES)
    stop = folder / "no more trainings"
    seen, kills = Seen(), Counter[str]()
    with a.running(), b.running():
        _until_both_greet(hosts)
        program = TRAIN.format(settings=LONGER, stop=str(stop))
        trainer = subprocess.Popen(
            [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", program],
            env=a.environment, stdout=(folder / "trainer.txt").open("w"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            asyncio.run(_live(hosts, switches, options, seen, kills))
        finally:
            stop.touch()
            trainer.wait()
        say("no more kills; what is under way ends")
        _until_nothing_lives(a)
        found = json.loads(a.shell(FOUND))
    return Report(options.times, kills, options.away, options.chatters, seen, found, [*a.problems(), *b.problems()])


def _until_both_greet(hosts: tuple[Host, Host]) -> None:
    end = time.monotonic() + 120
    for host in hosts:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{host.url}/sign-in/", timeout=10).status_code == 200:
                    break
            assert time.monotonic() < end, (host.home / "web.txt").read_text()[-3000:]
            time.sleep(0.5)


def _until_nothing_lives(host: Host, patience_s: float = 900) -> None:
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        found = json.loads(host.shell(FOUND))
        if not found["live"] and not found["cycles_live"]:
            return
        time.sleep(5)


async def _live(
    hosts: tuple[Host, Host],
    switches: dict[str, Switch],
    options: argparse.Namespace,
    seen: Seen,
    kills: Counter[str],
) -> None:
    over = asyncio.Event()
    threads = ThreadPoolExecutor(4 + options.chatters + options.annotators)  # a person may wait long for an answer
    asyncio.get_running_loop().set_default_executor(threads)
    chatters = [Chatter(_signed_in(hosts, "chatter"), seen) for _ in range(options.chatters)]
    names = [f"annotator-{number}" for number in range(options.annotators)]
    annotators = [Annotator(name, _signed_in(hosts, name), seen) for name in names]
    people = [asyncio.create_task(chatter.talk_until(over)) for chatter in chatters]
    people += [asyncio.create_task(annotator.rank_until(over)) for annotator in annotators]
    await asyncio.sleep(5)
    for turn in range(options.times):
        for number, host in enumerate(hosts):
            for role in ROLES:
                host.roles[role].kill()
                kills[f"{role} of host {'ab'[number]}"] += 1
                await asyncio.sleep(options.every)
        say(f"round {turn + 1}: {seen.asked} replies {dict(seen.states)}, {len(seen.judged)} rankings")
    for name, switch in switches.items():
        say(f"{name} is away")
        await asyncio.to_thread(switch.take_away)
        await asyncio.sleep(options.away)
        await asyncio.to_thread(switch.bring_back)
        await asyncio.sleep(options.away / 2)
    over.set()
    done, pending = await asyncio.wait(people, timeout=3 * WITHIN_S)
    seen.waiting = len(pending)
    for task in done:
        task.result()


def _signed_in(hosts: tuple[Host, Host], name: str) -> list[Person]:
    return [Person(host.url, name) for host in hosts]
