"""`make bench ARGS="tuning"`: a fine-tune of the real model on a 200-line file by somebody who sets nothing.

Told are the minutes, the loss on lines that were kept back, and how many of the learnt lines transformers' own greedy
decoding of the published directory answers to the letter.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import island
from tests.bench.ppo import first_policy, say

ROOT = Path(__file__).resolve().parents[2]
MINUTES, RECALL = 10.0, 0.9


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="tuning-") as folder:
        report = measure(Path(folder), options)
    sys.stdout.write((json.dumps(report) if options.json else table(report)) + "\n")
    return 0 if all(report["met"].values()) else 1


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench tuning", description=__doc__)
    home = Path(os.environ.get("CHAMSAE_HOME", ROOT / "var"))
    parser.add_argument("--policy", type=Path, help="policy directory (default: the first fetched one)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--form", choices=("prompt_completion", "messages"), default="prompt_completion")
    parser.add_argument("--scope", choices=("head", "blocks", "lora", "full"), default="lora")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a hyperparameter")
    parser.add_argument("--lines", type=int, default=200, help="the first so many lines of the file")
    parser.add_argument("--hold-out", type=float, default=0.1, help="share of the lines that is kept back")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(arguments)
    options.policy = options.policy or first_policy(home / "models")
    return options


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    rows = island.lines(options.form)[: options.lines]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = dict(pair.split("=", 1) for pair in options.set)
    config = {
        "base": str(options.policy.absolute()),
        "output": str(folder / "tuned"),
        "data": str(folder / "data.jsonl"),
        "validation": None,
        "hold_out": options.hold_out,
        "method": "supervised",
        "scope": options.scope,
        "form": options.form,
        "hyperparameters": {name: json.loads(value) for name, value in given.items()},
        "seed": options.seed,
        "threads": options.threads,
    }
    (folder / "config.json").write_text(json.dumps(config))
    load = os.getloadavg()[0]
    say(f"tuning on {len(rows)} lines ...")
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "rlhf.training", "fine_tune", str(folder)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(options.threads), "GOMP_SPINCOUNT": "1000"},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    )
    seconds = time.monotonic() - started
    if done.returncode:
        raise SystemExit(f"the stage ended with {done.returncode}; its messages are above")
    result = json.loads((folder / "result.json").read_text())
    first = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    say("asking the tuned model every line ...")
    recalled = recall(folder / "tuned", rows, options.form)
    before, after = first["values"].get("eval/loss"), result["eval_loss"]
    return {
        "lines": len(rows),
        "threads": options.threads,
        "load_before": round(load, 2),
        "minutes": round(seconds / 60, 2),
        "recall": recalled,
        "held_out_loss": [before, after],
        "met": {
            "minutes": seconds / 60 < MINUTES,
            "recall": recalled >= RECALL,
            "held_out_loss": before is None or after < before,
        },
        "result": result,
    }


def recall(policy: Path, rows: list[dict[str, Any]], form: str) -> float:
    """The share of all lines of the file whose answer is given to the letter; by transformers, not by us."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(policy)
    model = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.bfloat16)
    tokenizer.padding_side = "left"
    right = 0
    for start in range(0, len(rows), 20):
        asked = [question(row, form, tokenizer) for row in rows[start : start + 20]]
        batch = tokenizer([text for text, _ in asked], return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.no_grad():
            written = model.generate(**batch, max_new_tokens=40, do_sample=False)
        texts = tokenizer.batch_decode(written[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        right += sum(text.strip() == wanted for text, (_, wanted) in zip(texts, asked, strict=True))
    return right / len(rows)


def question(row: dict[str, Any], form: str, tokenizer: Any) -> tuple[str, str]:
    """(prompt as text, wanted answer)"""
    if form == "prompt_completion":
        return row["prompt"], row["completion"].strip()
    turns = row["messages"]
    text = tokenizer.apply_chat_template(turns[:-1], add_generation_prompt=True, tokenize=False)
    return text, turns[-1]["content"]


def table(report: dict[str, Any]) -> str:
    result, met = report["result"], report["met"]
    before, after = report["held_out_loss"]
    lines = [
        f"{report['lines']} lines, {report['threads']} threads, load before {report['load_before']:.1f}",
        f"{result['parameters_trained']:,} of {result['parameters']:,} weights learnt, {result['n_epochs']} epochs "
        f"in batches of {result['batch_size']}",
        _line("minutes", f"{report['minutes']:.1f}", f"< {MINUTES:.0f}", met["minutes"]),
        _line("lines recalled to the letter", f"{report['recall']:.3f}", f">= {RECALL}", met["recall"]),
    ]
    if before is not None:
        lines.append(_line("held-out loss", f"{before:.2f} -> {after:.2f}", "falling", met["held_out_loss"]))
    for name in ("base", "few_shot", "fine_tuned") if result["comparison"] else ():
        side = result["comparison"][name]
        lines.append(
            f"{name:32}loss {side['loss']:.2f}  perplexity {side['perplexity']:.1f}  exact {side['exact_match']:.2f}"
        )
    return "\n".join(lines)


def _line(name: str, value: str, demand: str, met: bool) -> str:
    return f"{name:32}{value:>16}   {demand}  {'met' if met else 'NOT MET'}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
