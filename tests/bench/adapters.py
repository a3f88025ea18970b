"""`make bench ARGS="adapters"`: two policies by llama.cpp, as two whole files or as two adapters beside their base.

Memory of the engines, tokens a second and a second of a core, how long each form takes to write and to start, and how
far its greedy text goes with that of the policy in f32.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from statistics import mean, median
from typing import Any

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from base.cores import usable_cores
from tests.bench import adapter_files
from tests.bench.serving import ROOT, model

QUESTIONS = (
    "Explain in a few sentences how a rainbow comes about.",
    "What is a good breakfast before a long walk?",
    "Why do cats purr?",
    "Tell me about the city of Seoul.",
    "How do I learn to play the piano?",
    "What does a carpenter do all day?",
    "Name three rivers and where they end.",
    "Write a short poem about sparrows.",
)
KEY = "bench"
TWO = "two whole policies"


@dataclass(frozen=True)
class Memory:
    """Proportional, of all engines of a form, in MB."""

    private: float
    """Keys and values, buffers, what was read or copied."""
    files: float
    """Pages of the files that are mapped."""

    def __str__(self) -> str:
        return f"{self.private + self.files:.0f} ({self.files:.0f} of files)"


@dataclass(frozen=True)
class Rate:
    """Tokens by the clock, and by the processor time of the engines, which other work disturbs less."""

    a_second: float
    a_core_second: float

    def __str__(self) -> str:
        return f"{self.a_second:.0f} ({self.a_core_second:.0f})"


@dataclass
class Found:
    """Of one form of serving."""

    start_s: float
    started: Memory
    after: Memory | None = None
    rates: dict[str, "Rate"] = field(default_factory=dict)
    """By the streams, of all of them together."""
    alike: float | None = None
    """Of greedy text, the share before f32 goes on otherwise."""


@dataclass(frozen=True)
class Engine:
    """A child process, and what a request to each of its policies says besides."""

    config: dict[str, Any]
    module: str = "chat.engines.llamacpp_server"
    policies: tuple[dict[str, Any], ...] = ({},)


class Running:
    """Engines of one form, started; policies are numbered through."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self.engines = engines
        self.processes: list[subprocess.Popen[str]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def start(self) -> None:
        from chat.engines.child import SHORT_WAITING

        for engine in self.engines:
            process = subprocess.Popen(
                [sys.executable, "-m", engine.module],
                cwd=ROOT, env={**os.environ, **SHORT_WAITING}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True,
            )  # fmt: skip
            self.processes.append(process)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(engine.config) + "\n")
            process.stdin.flush()
            url = json.loads(process.stdout.readline())["url"] + "/v1/completions"
            self.asked += [(url, more) for more in engine.policies]

    def stop(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.wait(10)
            process.stdout.close()

    def memory(self) -> Memory:
        sums = [sum(kind) for kind in zip(*(_pss_mb(process.pid) for process in self.processes), strict=True)]
        return Memory(*(round(value, 1) for value in sums))

    def processor_s(self) -> float:
        """Of all engines since they started."""
        times = [psutil.Process(process.pid).cpu_times() for process in self.processes]
        return sum(one.user + one.system for one in times)

    async def ask(self, client: httpx.AsyncClient, policy: int, ids: list[int], **more: Any) -> tuple[str, int]:
        """The reply and how many tokens it took."""
        url, addition = self.asked[policy]
        body = {"prompt": ids, "ignore_eos": True, **addition, **more}
        answer = (await client.post(url, json=body)).raise_for_status().json()
        return str(answer["choices"][0]["text"]), int(answer["usage"]["completion_tokens"])


def _pss_mb(pid: int) -> tuple[float, float]:
    """Private and of files. PSS counts a page that several map by its share."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(value) / 1024 for name, value in re.findall(r"^(Pss\w*): +(\d+) kB$", told, re.MULTILINE)}
    return found["Pss"] - found["Pss_File"], found["Pss_File"]


@contextlib.asynccontextmanager
async def _client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=600, headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


async def _measure(form: Running, started: float, prompts: list[list[int]], options: argparse.Namespace) -> Found:
    found = Found(round(time.perf_counter() - started, 2), form.memory())
    count = options.streams
    both = [number % len(form.asked) for number in range(count)]
    loads = {"1": [0], str(count): [0] * count}
    if len(form.asked) > 1:
        loads[f"{count // 2} + {count - count // 2}"] = both
    async with _client() as client:
        for name, policies in loads.items():
            rates = [await _rate(form, client, policies, prompts, options.tokens) for _ in range(options.rounds)]
            found.rates[name] = Rate(
                median(rate.a_second for rate in rates), median(rate.a_core_second for rate in rates)
            )
    found.after = form.memory()
    return found


async def _rate(
    form: Running, client: httpx.AsyncClient, policies: list[int], prompts: list[list[int]], tokens: int
) -> Rate:
    """Of replies that are asked for at once, one a policy of the list."""
    started, used = time.perf_counter(), form.processor_s()
    asked = (
        form.ask(client, policy, prompts[number % len(prompts)], max_tokens=tokens, temperature=0.7, seed=number)
        for number, policy in enumerate(policies)
    )
    written = sum(tokens for _, tokens in await asyncio.gather(*asked))
    return Rate(written / (time.perf_counter() - started), written / (form.processor_s() - used))


async def _greedy(form: Running, prompts: list[list[int]], tokens: int) -> list[str]:
    """Of each policy to each prompt, one after the other."""
    async with _client() as client:
        return [
            (await form.ask(client, policy, ids, max_tokens=tokens, temperature=0.0, cache_prompt=False))[0]
            for policy in range(len(form.asked))
            for ids in prompts
        ]


def share_before_parting(texts: Sequence[str], others: Sequence[str]) -> float:
    """Of the characters of the first, on average over the pairs."""
    pairs = zip(texts, others, strict=True)
    return mean(
        sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(a, b, strict=False))) / len(a) for a, b in pairs
    )


def forms_of(base: Path, policies: Sequence[adapter_files.Forms], places: int) -> dict[str, list[Engine]]:
    common = {"key": KEY, "host": "127.0.0.1", "context_tokens": 2048, "threads": usable_cores()}

    def whole(path: Path, slots: int = places) -> Engine:
        return Engine({**common, "gguf": str(path), "slots": slots})

    def beside(slots: int) -> Engine:
        files = [str(policy.adapter) for policy in policies]
        config = {**common, "gguf": str(base / "policy.gguf"), "slots": slots, "adapters": files}
        names = tuple({"lora": [{"id": number, "scale": 1.0}]} for number in range(len(files)))
        return Engine(config, "tests.bench.adapter_server", names)

    return {
        "one whole policy": [whole(policies[0].whole)],
        TWO: [whole(policy.whole) for policy in policies],
        f"{TWO}, {places // 2} places each": [whole(policy.whole, places // 2) for policy in policies],
        "a base with two adapters": [beside(places)],
        f"a base with two adapters, {2 * places} places": [beside(2 * places)],
    }


def measure(base: Path, options: argparse.Namespace, folder: Path) -> tuple[dict[str, Found], adapter_files.Forms]:
    """Each form of serving, and the first policy."""
    import django

    django.setup()
    from rlhf.training.tokens import ChatTokenizer

    policies = []
    for seed in (1, 2):
        (folder / str(seed)).mkdir()
        policies.append(adapter_files.write(base, folder / str(seed), seed))
    tokenizer = ChatTokenizer.load(base)
    prompts = [tokenizer.prompt_ids([{"role": "user", "content": text}]) for text in QUESTIONS]
    exact = _with([Engine({**engine.config, "gguf": str(policy.exact), "slots": 1}) for policy, engine in zip(
        policies, forms_of(base, policies, 1)[TWO], strict=True)],
        lambda form, _: asyncio.run(_greedy(form, prompts, options.greedy)),
    )  # fmt: skip
    found = {}
    for name, engines in forms_of(base, policies, options.places).items():
        print(f"{name} ...", file=sys.stderr)  # noqa: T201

        def one(form: Running, started: float) -> Found:
            result = asyncio.run(_measure(form, started, prompts, options))
            if len(form.asked) == len(policies):
                result.alike = share_before_parting(exact, asyncio.run(_greedy(form, prompts, options.greedy)))
            return result

        found[name] = _with(engines, one)
    return found, policies[0]


def _with(engines: Sequence[Engine], use: Any) -> Any:
    form, started = Running(engines), time.perf_counter()
    try:
        form.start()
        return use(form, started)
    finally:
        form.stop()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64, help="of each reply")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is shown")
    parser.add_argument("--places", type=int, default=16, help="of an engine (CHAMSAE_ENGINE_SLOTS)")
    parser.add_argument("--greedy", type=int, default=32, help="tokens of the texts that are held against f32")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    load, base = psutil.getloadavg()[0], model()
    with tempfile.TemporaryDirectory(prefix="chamsae-adapters-") as folder:
        os.environ |= {"CHAMSAE_HOME": folder, "DJANGO_SETTINGS_MODULE": "config.settings"}
        found, policy = measure(base, options, Path(folder))
    if options.json:
        print(json.dumps({name: asdict(one) for name, one in found.items()}))  # noqa: T201
        return 0
    show(found, load)
    for name, size, seconds in (
        ("whole", policy.whole_mb, policy.whole_s),
        ("an adapter", policy.adapter_mb, policy.adapter_s),
    ):
        Console().print(f"{name}: a file of {size:.1f} MB, written in {seconds:.2f} s")
    return 0


def show(found: dict[str, Found], load: float) -> None:
    table = Table(title=f"two policies by llama.cpp, load {load:.0f} before; in brackets tokens a core second")
    names = list(dict.fromkeys(name for one in found.values() for name in one.rates))
    columns = ("started, s", "MB then", "MB after", *(f"tokens/s: {name}" for name in names), "as f32")
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for name, one in found.items():
        rates = (str(one.rates.get(streams, "")) for streams in names)
        alike = "" if one.alike is None else f"{one.alike:.2f}"
        table.add_row(name, str(one.start_s), str(one.started), str(one.after), *rates, alike)
    Console(width=160).print(table)
