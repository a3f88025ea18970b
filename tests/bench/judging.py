"""`make bench ARGS="judging"`: the next task and the submission with 100,000 judgements and 32 people at work.

A web process of the site on a database filled for that, SQLite or PostgreSQL (`--database`, else DATABASE_URL, else
SQLite). Each worker ranks by the page's form, with a pause as of somebody who reads quickly. Beside it they
ask the same process for a view that does nothing: what of the time is the machine's and not the queue's.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from tests.bench.parts import percentiles
from tests.site import ROOT, environment_of, free_port, own_database

P95_MS = 30.0
BARE = "/healthz"
FRAGMENT = {"X-Fragment": "1"}
STARTS_WITHIN_S = 60.0


@dataclass
class Times:
    """In seconds."""

    next_task: list[float] = field(default_factory=list)
    submit: list[float] = field(default_factory=list)
    """With the task that follows, which the answer holds."""
    bare: list[float] = field(default_factory=list)
    refused: int = 0

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"refused": self.refused}
        bare = percentiles(self.bare, 95)[0]
        for name, values in (("next_task", self.next_task), ("submit", self.submit), ("bare", self.bare)):
            p50, p95, p99 = percentiles(values, 50, 95, 99)
            found[name] = {"n": len(values), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}
            found[name]["p95_to_bare"] = round(p95 / bare, 2) if bare else None
        return found


class Worker:
    """Ranks one task after the other."""

    def __init__(self, http: httpx.AsyncClient, times: Times, think_s: float, seed: int) -> None:
        self.http, self.times, self.think_s, self.draw = http, times, think_s, random.Random(seed)

    async def work_until(self, end: float) -> None:
        await asyncio.sleep(self.draw.uniform(0, self.think_s))
        page = (await self.http.get("/rank/")).text
        while time.monotonic() < end:
            await asyncio.sleep(self.draw.uniform(0.5, 1.5) * self.think_s)
            await self._timed(self.times.bare, self.http.get(BARE))
            answer = await self._timed(self.times.submit, self._submit(page))
            self.times.refused += answer.status_code != 200
            await asyncio.sleep(self.draw.uniform(0.5, 1.5) * self.think_s)
            page = (await self._timed(self.times.next_task, self.http.get("/rank/", headers=FRAGMENT))).text

    async def _submit(self, page: str) -> httpx.Response:
        (address,) = set(re.findall(r'action="(/rank/\d+/submit/)"', page))
        places = dict.fromkeys(re.findall(r'name="(place-\d+)"', page))
        form = {name: str(rank) for rank, name in enumerate(places, start=1)}
        token = self.http.cookies["csrftoken"]
        return await self.http.post(address, data={"csrfmiddlewaretoken": token, **form}, headers=FRAGMENT)

    async def _timed(self, into: list[float], asked: Any) -> httpx.Response:
        began = time.perf_counter()
        response: httpx.Response = await asked
        into.append(time.perf_counter() - began)
        return response


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    if options.database:
        os.environ["DATABASE_URL"] = options.database
    with own_database() as database, tempfile.TemporaryDirectory(prefix="judging-") as home:
        environment = environment_of(Path(home), database, CHAMSAE_READING_SPEED="0", CHAMSAE_DEBUG="0")
        cookies = _filled(environment, options)
        port = free_port()
        with _web(environment, port):
            times = asyncio.run(_measured(f"http://127.0.0.1:{port}", cookies, options))
    report = {
        "database": "postgresql" if database else "sqlite",
        "judgements": options.judgements,
        "workers": options.workers,
        "think_s": options.think,
        "load_average": round(os.getloadavg()[0], 1),
        "cores": os.cpu_count(),
        **times.as_json(),
    }
    sys.stdout.write(json.dumps(report) + "\n" if options.json else _table(report))
    is_met = all(report[name]["p95_ms"] <= P95_MS for name in ("next_task", "submit"))
    return 0 if is_met and not times.refused else 1


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench judging", description=__doc__)
    parser.add_argument("--judgements", type=int, default=100_000)
    parser.add_argument("--waiting", type=int, default=5_000, help="tasks that nobody has judged (default 5000)")
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--think", type=float, default=5.0, help="mean seconds between two acts of a worker")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--database", default="", help="postgres://USER@HOST:PORT/NAME; a new one is made beside it")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def _filled(environment: dict[str, str], options: argparse.Namespace) -> list[str]:
    """Cookies of the workers."""
    numbers = map(str, (options.judgements, options.waiting, options.workers))
    command = [sys.executable, "-m", "tests.bench.judging_rows", *numbers]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextlib.contextmanager
def _web(environment: dict[str, str], port: int) -> Iterator[None]:
    command = [sys.executable, "manage.py", "run_web", "--port", str(port)]
    log = Path(environment["CHAMSAE_HOME"]) / "web.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        try:
            _wait_for(f"http://127.0.0.1:{port}{BARE}", log)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _wait_for(url: str, log: Path) -> None:
    end = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url).status_code == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"the web process did not start:\n{log.read_text()[-2000:]}")


async def _measured(url: str, cookies: list[str], options: argparse.Namespace) -> Times:
    times = Times()
    async with contextlib.AsyncExitStack() as stack:
        workers = []
        for number, cookie in enumerate(cookies):
            name, _, value = cookie.partition("=")
            client = httpx.AsyncClient(base_url=url, timeout=60, cookies={name: value}, headers={"Origin": url})
            workers.append(Worker(await stack.enter_async_context(client), times, options.think, number))
        end = time.monotonic() + options.seconds
        await asyncio.gather(*(worker.work_until(end) for worker in workers))
    return times


def _table(report: dict[str, Any]) -> str:
    table = Table(
        title=f"{report['database']}, {report['judgements']} judgements, {report['workers']} workers, "
        f"{report['think_s']} s between two acts, load {report['load_average']} on {report['cores']} cores"
    )
    for name in ("", "n", "p50 ms", "p95 ms", "p99 ms", "p95 to a bare view's"):
        table.add_column(name)
    for name in ("next_task", "submit", "bare"):
        row = report[name]
        table.add_row(name, *(str(row[key]) for key in ("n", "p50_ms", "p95_ms", "p99_ms", "p95_to_bare")))
    console = Console(width=110)
    with console.capture() as printed:
        console.print(table)
        console.print(f"refused: {report['refused']}; asked for: p95 of at most {P95_MS:g} ms")
    return printed.get()
