"""`make bench ARGS=first-minutes`: what a person who asks in a new site's first minutes gets, beside the making of
ranking tasks; then the same once the stock is full."""

import argparse
import asyncio
import json
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.parts import shell
from tests.bench.serving import TOKENS, model
from tests.person import Heard, Person
from tests.site import DATABASE, Site, running_site

QUESTIONS = (
    "Explain in a few sentences how a rainbow comes about.",
    "What is the capital of France?",
    "How do I boil an egg?",
    "Tell me about sparrows.",
    "What is a good way to learn a language?",
)
LATER = 6
"""Questions that are asked once the stock is full."""
FILLED_WITHIN_S = 600.0
FIRST_TASK_WITHIN_S = 180.0
FIRST_P95_S, RATE_RATIO, FIRST_TASK_S = 3.0, 0.8, 60.0
"""The targets."""
EMPTY = """
from feedback.models import RankingTask
RankingTask.objects.filter(state="open").update(state="withdrawn")
"""
ENDINGS = """
import json
from collections import Counter
from feedback.models import Completion
rows = Completion.objects.values_list("finish_reason", "parameters")
print(json.dumps(Counter(reason for reason, parameters in rows if not parameters.get("cut"))))
"""


@dataclass
class Asked:
    """Replies to questions of one phase, with the load of the machine."""

    heard: list[Heard] = field(default_factory=list)
    tokens: int = 0
    load: list[float] = field(default_factory=list)

    @property
    def streamed_s(self) -> float:
        return sum(one.arrivals[-1] - one.arrivals[0] for one in self.heard)

    @property
    def tokens_s(self) -> float:
        """While replies stream: the first token of each begins the clock."""
        return (self.tokens - len(self.heard)) / self.streamed_s if self.streamed_s else 0.0

    def first_s(self) -> tuple[float, float]:
        """p50 and p95; of so few no figure beyond the longest is guessed."""
        times = [one.first_s for one in self.heard]
        cuts = statistics.quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
        return cuts[49], cuts[94]


async def ask(person: Person, question: str, phase: Asked) -> None:
    async with person.chat(person.new_conversation()) as chat:
        heard = await chat.ask(question)
    assert heard.state == "complete", heard
    phase.heard.append(heard)
    phase.load.append(os.getloadavg()[0])


async def ask_for(person: Person, seconds: float, every_s: float, phase: Asked) -> None:
    """A question every so often, or as soon as the reply to the last one has ended."""
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        due = time.monotonic() + every_s
        await ask(person, QUESTIONS[number % len(QUESTIONS)], phase)
        number += 1
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def tasks(site: Site) -> int:
    """Open ranking tasks, read beside the site so that looking costs it nothing."""
    with sqlite3.connect(f"file:{site.home / DATABASE}?mode=ro", uri=True, timeout=10) as database:
        return int(database.execute("SELECT count(*) FROM feedback_rankingtask WHERE state = 'open'").fetchone()[0])


def seconds_until(is_so: Callable[[], bool], within_s: float) -> float | None:
    started = time.monotonic()
    while not is_so():
        if time.monotonic() - started > within_s:
            return None
        time.sleep(0.25)
    return time.monotonic() - started


def measure(site: Site, minutes: float, every_s: float, stock: int) -> dict[str, Any]:
    person, early, later = Person(site.url, "chatter"), Asked(), Asked()
    asyncio.run(ask_for(person, 60 * minutes, every_s, early))
    while_asked = tasks(site)
    filled_s = seconds_until(lambda: tasks(site) >= stock, FILLED_WITHIN_S)
    for number in range(LATER):
        asyncio.run(ask(person, QUESTIONS[number % len(QUESTIONS)], later))
    shell(site, EMPTY)
    asyncio.run(ask(person, QUESTIONS[0], Asked()))  # so that idleness begins now, with an empty stock
    first_task_s = seconds_until(lambda: tasks(site) > 0, FIRST_TASK_WITHIN_S)
    for phase in (early, later):
        phase.tokens = int(shell(site, TOKENS.format(ids=[one.reply for one in phase.heard])))
    ratio = early.tokens_s / later.tokens_s if later.tokens_s else None
    return {
        "minutes": minutes,
        "questions": len(early.heard),
        "first_token_p50_s": early.first_s()[0],
        "first_token_p95_s": early.first_s()[1],
        "tokens_s": early.tokens_s,
        "later_questions": len(later.heard),
        "later_first_token_p50_s": later.first_s()[0],
        "later_tokens_s": later.tokens_s,
        "rate_ratio": ratio,
        "tasks_while_asked": while_asked,
        "filled_after_s": filled_s,
        "idle_to_first_task_s": first_task_s,
        "finish_reasons": json.loads(shell(site, ENDINGS)),
        "load": max(early.load),
        "later_load": max(later.load),
        "cores": os.cpu_count(),
    }


def verdicts(found: dict[str, Any]) -> list[tuple[str, float | None, str, bool]]:
    """Each target with its figure, and whether it holds; what was not seen does not hold."""
    first, ratio, task_s = found["first_token_p95_s"], found["rate_ratio"], found["idle_to_first_task_s"]
    return [
        ("first token, p95", first, f"at most {FIRST_P95_S} s", first <= FIRST_P95_S),
        ("tokens/s, of the later rate", ratio, f"at least {RATE_RATIO}", ratio is not None and ratio >= RATE_RATIO),
        ("idleness to the first task", task_s, f"at most {FIRST_TASK_S} s", task_s is not None and task_s <= 60),
    ]


def table(found: dict[str, Any]) -> Table:
    shown = Table(title=f"the first {found['minutes']:g} minutes of a new site, {found['cores']} cores")
    for title in ("measured", "value", "target", ""):
        shown.add_column(title)
    for name, value, target, holds in verdicts(found):
        shown.add_row(name, _number(value), target, "holds" if holds else "SHORT")
    for name in sorted(found):
        value = found[name]
        shown.add_row(name, _number(value) if isinstance(value, float | None) else str(value), "", "")
    return shown


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS=first-minutes", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument(
        "--every", type=float, default=20.0, help="seconds from one question to the next (default 20)"
    )
    parser.add_argument("--stock", type=int, default=8, help="tasks that are to be in stock (default 8)")
    parser.add_argument("--tokens", type=int, default=512, help="longest reply of a ranking task (default 512)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    home = Path(tempfile.mkdtemp(prefix="chamsae-bench-"))
    settings = {
        "CHAMSAE_TASK_STOCK": str(options.stock),
        "CHAMSAE_COMPLETION_TOKENS": str(options.tokens),
        "CHAMSAE_LOG_LEVEL": "WARNING",
    }
    try:
        with running_site(home, model(), patience_s=300, from_nothing=True, **settings) as site:
            found = measure(site, options.minutes, options.every, options.stock)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if options.json:
        print(json.dumps(found))  # noqa: T201
        return
    Console(width=120).print(table(found))
