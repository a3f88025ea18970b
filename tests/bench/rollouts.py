"""`make bench ARGS="rollouts --python PYTHON"`: PPO on the real base, its completions sampled by a real vLLM server.

How far server and training are apart, whether the policy learns what a simple score pays for, how quickly each of the
two samplers is, and what becomes of a run whose server is killed and started again.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.ppo_prompts import prompt_ids
from tests.bench.serving import model
from tests.bench.vllm_servers import MAX_RANK, Vllm, absence, write_adapter

PROMPTS = 16
ADAPTED_LAYERS = 10
"""As the random adapter has it."""
OPTIONS = ("--logprobs-mode", "processed_logprobs")
KEPT = ("objective/scores", "objective/kl", "rollout/tokens_per_second", "seconds/rollout", "length/mean")
FAR_NATS = 0.01
"""Target: KL of server to training, a token; twice is measured in bf16 at most."""
DEAD_S = 8.0
"""For how long the killed server is not started again."""


@dataclass
class Figures:
    load: float
    """Of the machine before the server started."""
    speeds: dict[str, list[float]] = field(default_factory=lambda: {"server": [], "own": []})
    """Tokens a second, of rollouts in turn."""
    metrics: list[dict[str, float]] = field(default_factory=list)
    """Of each iteration."""

    def mean(self, name: str, rows: slice = slice(None)) -> float:
        found = [metrics[name] for metrics in self.metrics[rows]]
        return sum(found) / len(found)

    def misses(self) -> list[str]:
        half = len(self.metrics) // 2
        learnt = self.mean("objective/scores", slice(half, None)) > self.mean("objective/scores", slice(half))
        far = max(metrics["sampler/kl"] for metrics in self.metrics)
        found = [] if learnt else ["the score did not rise"]
        return found + ([f"server and training are {far} nats a token apart"] if far > FAR_NATS else [])


class PaysForMarks:
    """Exclamation marks and "you": something that a policy finds within a few iterations."""

    def __init__(self, decode: Any) -> None:
        self.decode = decode

    def score(self, rollout: Any, states: Any) -> tuple[Any, Any]:
        import torch

        texts = [self.decode(ids).lower() for ids in rollout.completions()]
        paid = [min(1.0, (text.count("!") + text.count("you")) / 6) for text in texts]
        return 3 * torch.tensor(paid), torch.zeros(len(texts))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='make bench ARGS="rollouts"', description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="of an environment with vLLM")
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--no-kill", dest="kill", action="store_false", help="the server lives")
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
    console.print_json(json.dumps(asdict(figures))) if options.json else console.print(table(figures))
    for miss in figures.misses():
        console.print(f"missed: {miss}")
    return int(bool(figures.misses()))


def run(home: Path, options: argparse.Namespace) -> Figures:
    figures = Figures(round(os.getloadavg()[0], 2))
    base = model()
    server = Vllm(options.python, base, base.name, home / "vllm.log", options=OPTIONS)
    server.start()
    try:
        server.until_healthy()
        measure(home, base, server, options, figures)
    finally:
        server.kill()
    return figures


def measure(home: Path, base: Path, server: Vllm, options: argparse.Namespace, figures: Figures) -> None:
    from rlhf.training.model import choice
    from rlhf.training.model.adapter import Adapter
    from rlhf.training.ppo.config import PpoConfig
    from rlhf.training.ppo.train import train_ppo
    from rlhf.training.process import prepare_process
    from rlhf.training.rollouts.server_sampler import ServerSampler
    from rlhf.training.rollouts.servers import ServersConfig
    from rlhf.training.rollouts.source import OwnSampler, RolloutSampling
    from rlhf.training.tokens import ChatTokenizer

    prepare_process(1)
    tokenizer, prompts = ChatTokenizer.load(base), prompt_ids(str(base), PROMPTS)
    transformer = choice.load(base, adapted_layers=ADAPTED_LAYERS)
    adapters = str(home / "adapters")
    told = ServersConfig([server.url], base.name, "rollout-0-", adapters, adapters)
    source = ServerSampler(transformer, told, "", batch_rows=32)

    write_adapter(base, home / "random", seed=1)
    random = Adapter.load(home / "random", transformer)
    asked = RolloutSampling(completions_per_prompt=2, max_tokens=options.tokens, temperature=0.7)
    for seed in range(2):
        for name, sampler in (("server", source), ("own", OwnSampler(transformer, batch_rows=64))):
            started = time.perf_counter()
            rollout = sampler.roll_out(prompts, random, asked, seed=seed, poll=lambda: None)
            seconds = time.perf_counter() - started
            figures.speeds[name].append(round(int(rollout.completion_lengths.sum()) / seconds, 1))

    def report(step: int, steps: int, values: dict[str, float]) -> None:
        kept = {name: value for name, value in values.items() if name in KEPT or name.startswith("sampler/")}
        figures.metrics.append({name: round(value, 5) for name, value in kept.items()})
        if options.kill and step == 1:
            threading.Thread(target=start_again, args=(server,), daemon=True).start()

    no_penalties = {name: 0.0 for name in PENALTIES}
    train_ppo(
        transformer,
        prompts,
        PaysForMarks(tokenizer.decode),
        PpoConfig(
            iterations=options.iterations,
            prompts_per_iteration=8,
            max_tokens=options.tokens,
            calibration_prompts=8,
            learning_rate=1e-3,
            score_clip=3.0,
            short_words=0,
            alarm_patience=0,
            target_kl=12.0,
            stop_kl=20.0,
            rank=MAX_RANK,
            **no_penalties,
        ),
        seed=0,
        directory=home / "checkpoint",
        report=report,
        should_stop=lambda: False,
        source=source,
    )
    source.close()


PENALTIES = ("missing_eos_penalty", "short_penalty", "sentence_penalty", "violation_weight")


def start_again(server: Vllm) -> None:
    """In the middle of the next iteration."""
    time.sleep(DEAD_S)
    server.kill()
    time.sleep(DEAD_S)
    server.start()


def table(figures: Figures) -> Table:
    shown = Table(title=f"PPO on {model().name} by a vLLM server, load before {figures.load}")
    shown.add_column("what")
    shown.add_column("measured")
    for name, speeds in figures.speeds.items():
        shown.add_row(f"tokens a second, sampler: {name}", ", ".join(map(str, speeds)))
    half = len(figures.metrics) // 2
    for name, rows in (("first", slice(half)), ("last", slice(half, None))):
        shown.add_row(f"mean score of the {name} half", f"{figures.mean('objective/scores', rows):.3f}")
    for name in ("sampler/kl", "sampler/kl_max", "sampler/nats_max", "sampler/capped", "seconds/rollout"):
        found = [metrics[name] for metrics in figures.metrics]
        shown.add_row(f"{name}, least to greatest", f"{min(found)} to {max(found)}")
    return shown
