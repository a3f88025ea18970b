"""`make bench-ppo`: our PPO against TRL 1.12's PPOTrainer, episodes a second and peak memory, one process at a time.

Same policy directory, same 32 prompts, 32 completions of exactly 48 tokens an iteration (end tokens switched off on
both sides), one inner epoch of one minibatch. TRL's trainer is the last with PPO and lives in a virtual environment
of its own, which sees the project's packages behind its own TRL. TRL trains all weights of policy and value as its
default is; with `peft_config` it would be lighter, which is not measured here.
"""

import argparse
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TRL = "1.12.0"
ALWAYS = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
OURS = {"GOMP_SPINCOUNT": "1000"}  # as rlhf.runs.child_process starts every training process
CONTESTANTS = {
    "trl_fp32": ("TRL 1.12 PPOTrainer, default fp32", "tests.bench.ppo_trl", "float32", ""),
    "trl_bf16": ("TRL 1.12 PPOTrainer, four models in bf16", "tests.bench.ppo_trl", "bfloat16", ""),
    "ours": ("ours, bf16, LoRA on the top 10 layers", "tests.bench.ppo_ours", "bf16", "llama"),
    "library": ("the same through transformers", "tests.bench.ppo_ours", "bf16", "transformers"),
}
DEMANDS = {
    "speed_vs_trl_fp32": (8.0, ">="),
    "speed_vs_trl_bf16": (4.0, ">="),
    "memory_vs_trl_fp32": (0.25, "<="),
    "memory_vs_trl_bf16": (0.40, "<="),
}


def main() -> int:
    options = _parse()
    results: dict[str, Any] = {}
    for key in options.only or CONTESTANTS:
        label, script, dtype, backend = CONTESTANTS[key]
        say(f"{label} ...")
        python = trl_interpreter(options.home) if "trl" in script else Path(sys.executable)
        results[key] = measure(python, script, dtype, backend, options)
    report = {
        "threads": options.threads,
        "load_before": os.getloadavg()[0],
        "batch": options.batch,
        "tokens": options.tokens,
        "contestants": results,
        "ratios": ratios(results),
    }
    sys.stdout.write((json.dumps(report) if options.json else table(report)) + "\n")
    return 0


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ppo", description=__doc__)
    home = Path(os.environ.get("CHAMSAE_HOME", ROOT / "var"))
    parser.add_argument("--policy", type=Path, help="policy directory (default: the first fetched one)")
    parser.add_argument("--home", type=Path, default=home, help="where models and the virtual environment are")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=32, help="completions an iteration")
    parser.add_argument("--tokens", type=int, default=48, help="tokens a completion")
    parser.add_argument("--iterations", type=int, default=3, help="measured iterations, after one to warm up")
    parser.add_argument("--only", action="append", choices=list(CONTESTANTS), help="may be given more than once")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    options.policy = options.policy or first_policy(options.home / "models")
    return options


def first_policy(models: Path) -> Path:
    """The oldest policy directory that was fetched, not trained."""
    found = sorted(models.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise SystemExit(f"no policy under {models}: run `manage.py fetch_model` or give --policy")
    return found[0].parent


def trl_interpreter(home: Path) -> Path:
    """A Python that finds TRL 1.12 first and everything else in the project's environment; made once."""
    folder = home / "bench" / f"trl-{TRL}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        say(f"making a virtual environment for TRL {TRL} ...")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", f"trl=={TRL}"]
        subprocess.run(install, check=True, stdout=sys.stderr)
        packages = subprocess.run(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        Path(packages, "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
        (folder / "ready").touch()
    return python


def measure(python: Path, script: str, dtype: str, backend: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one contestant; its last line of output is its result."""
    arguments = {
        "policy": str(options.policy),
        "dtype": dtype,
        "backend": backend,
        "threads": options.threads,
        "batch": options.batch,
        "tokens": options.tokens,
        "iterations": options.iterations,
    }
    done = subprocess.run(
        [str(python), "-m", script, json.dumps(arguments)],
        cwd=ROOT,
        env={**os.environ, **ALWAYS, **(OURS if "ours" in script else {}), "OMP_NUM_THREADS": str(options.threads)},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{script} ({dtype}) ended with {done.returncode}; its messages are above")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def ratios(results: dict[str, Any]) -> dict[str, Any]:
    """Ours over each TRL run, beside what is demanded."""
    found = {}
    for other in ("trl_fp32", "trl_bf16"):
        if other in results and "ours" in results:
            for name, field in (("speed", "episodes_per_s"), ("memory", "peak_rss_mb")):
                value = results["ours"][field] / results[other][field]
                limit, sign = DEMANDS[f"{name}_vs_{other}"]
                met = value >= limit if sign == ">=" else value <= limit
                found[f"{name}_vs_{other}"] = {"value": round(value, 3), "demand": f"{sign} {limit}", "met": met}
    return found


def table(report: dict[str, Any]) -> str:
    head = "{batch} completions of {tokens} tokens, {threads} threads, load before {load_before:.1f}"
    lines = [head.format(**report), f"{'':44}{'episodes/s':>12}{'peak RSS MB':>14}"]
    for key, result in report["contestants"].items():
        lines.append(f"{CONTESTANTS[key][0]:44}{result['episodes_per_s']:12.2f}{result['peak_rss_mb']:14.0f}")
    for name, ratio in report["ratios"].items():
        lines.append(f"{name:44}{ratio['value']:12.2f}   {ratio['demand']}  {'met' if ratio['met'] else 'NOT MET'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
