"""`make bench ARGS="tinker --python PYTHON"`: a tiny random Qwen 3 trained by SkyRL's Tinker server on this CPU.

Whether the reward rises, how far the server's log-probs are from ours, and how long a step takes.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from rlhf.training.policy import stage
from rlhf.training.reward import stage as reward_model_stage
from tests.rlhf.training.families import make_family_policy
from tests.rlhf.training.planted import write_snapshot
from tests.rlhf.training.small_runs import directory
from tests.site import free_port

ROWS = 32
"""Of each batch at the server, which compiles anew for every other number."""
PLACE = {"device": "cpu", "dtype": "fp32"}
SETTINGS = {
    "prompts_per_step": 4,
    "num_generations": 8,
    "max_tokens": 12,
    "rank": 16,
    "stop_kl": 40.0,
    "calibration_prompts": 4,
    "missing_eos_penalty": 1.0,
    "beta": 0.02,
}
STARTS_WITHIN_S = 300.0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make bench ARGS=tinker")
    parser.add_argument("--python", default=sys.executable, help="of an environment with skyrl[tinker,jax]")
    parser.add_argument("--algorithm", choices=("rloo", "grpo"), default="rloo")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rate", type=float, default=1e-2)
    asked = parser.parse_args(arguments)
    if reason := absence(asked.python):
        Console(stderr=True).print(reason)
        return 2
    with tempfile.TemporaryDirectory() as root:
        return _measure(asked, Path(root))


def absence(python: str) -> str:
    """Why there is no server to run; empty where there is one."""
    script = "import skyrl.tinker.api, skyrl.backends.jax"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    last = (done.stderr.strip().splitlines() or ["?"])[-1]
    return f"{python} has no SkyRL that starts ({last}); make a virtual environment with skyrl[tinker,jax] for it"


def _measure(asked: argparse.Namespace, root: Path) -> int:
    load = os.getloadavg()[0]
    base = make_family_policy(root / "qwen3", "qwen3", layers=3)
    made = _reward_model(root, base)
    with _serving(asked.python, base, root) as url:
        settings = SETTINGS | {"steps": asked.steps, "learning_rate": asked.rate}
        told = {"algorithm": asked.algorithm, "output": str(root / "policy"), "tinker": {"url": url}}
        run = directory(root / "run", **made, **told, **PLACE, hyperparameters=settings)
        result = stage.run(run)
    metrics = [json.loads(line) for line in (root / "run" / "metrics.jsonl").read_text().splitlines()]
    return _tell(metrics, result, load)


def _reward_model(root: Path, base: Path) -> dict[str, str]:
    snapshot = write_snapshot(root / "snapshot", rankings=8, held_out=2)
    config = {"base": str(base), "snapshot": str(snapshot), "output": str(root / "judge"), **PLACE}
    few = {"adapted_layers": 2, "rank": 2, "epochs": 1}
    reward_model_stage.run(directory(root / "reward", hyperparameters=few, **config))
    return {"base": str(base), "snapshot": str(snapshot), "reward_model": str(root / "judge")}


@contextlib.contextmanager
def _serving(python: str, base: Path, root: Path) -> Iterator[str]:
    port = free_port()
    script = Path(__file__).with_name("tinker_server.py")
    backend = {"max_lora_adapters": 4, "max_lora_rank": 16}
    backend |= {"sample_max_num_sequences": ROWS, "train_micro_batch_size": ROWS}
    command = [python, "-P", str(script), "--base-model", str(base), "--backend", "jax", "--port", str(port)]
    command += ["--backend-config", json.dumps(backend), "--checkpoints-base", str(root / "checkpoints")]
    command += ["--database-url", f"sqlite:///{root}/tinker.db"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    environment.pop("PYTHONPATH", None)
    with (root / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=root, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/api/v1/healthz", timeout=5).status_code == 200:
                return
        time.sleep(0.5)
    raise SystemExit("SkyRL's server did not start")


def _tell(metrics: Sequence[Mapping[str, Any]], result: Mapping[str, Any], load: float) -> int:
    table = Table(title=f"{result['algorithm']} by SkyRL's Tinker server (load {load:.0f} before)")
    for name in ("step", "seconds", "reward", "KL", "tokens"):
        table.add_column(name, justify="right")
    for line in metrics:
        values = line["values"]
        figures = (values["reward"], values["objective/kl"], values["completions/mean_length"])
        table.add_row(str(line["step"]), f"{line['seconds']:.0f}", *(f"{figure:.2f}" for figure in figures))
    console = Console()
    console.print(table)
    console.print(f"the server's log-probs are {result.get('sampler_kl', float('nan')):.2g} nats a token from ours")
    rewards = [line["values"]["reward"] for line in metrics]
    half = len(rewards) // 2
    has_risen = sum(rewards[half:]) / len(rewards[half:]) > sum(rewards[:half]) / max(1, half)
    console.print("the reward rose" if has_risen else "the reward did not rise")
    return 0 if has_risen else 1
