"""A training process that keeps the protocol of the stage `fine_tune` and trains nothing; it misbehaves on request.

A word in the first row says how: `fail`, `slow` (a tenth of a second a step), `crash` (kills itself once).
Tokens are counted as words, so a test can count them by hand. It copies the base as its model.
"""

import csv
import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

EPOCH_STEPS = 5
COLUMNS = (
    "step", "elapsed_tokens", "elapsed_examples", "training_loss", "training_sequence_accuracy",
    "training_token_accuracy", "validation_loss", "validation_sequence_accuracy", "validation_token_accuracy",
)  # fmt: skip
stop = threading.Event()


def main(stage, run_dir):
    assert stage == "fine_tune", stage
    config = json.loads((run_dir / "config.json").read_text())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=watch_parent, daemon=True).start()
    data = Path(config["data"]).read_text().splitlines()
    behaviour = next((word for word in ("fail", "slow", "crash") if word in data[0]), "")
    checkpoint = run_dir / "checkpoint" / "step"
    checkpoint.parent.mkdir(exist_ok=True)
    first = int(checkpoint.read_text()) if checkpoint.exists() else 0
    with (run_dir / "starts").open("a") as starts:
        starts.write(f"{os.getpid()} {first}\n")
    epochs = config["hyperparameters"]["n_epochs"]
    steps = epochs * EPOCH_STEPS
    for step in range(first + 1, steps + 1):
        time.sleep(0.1 if behaviour == "slow" else 0.005)
        report(run_dir, step, steps, epochs, config["validation"])
        checkpoint.with_suffix(".tmp").write_text(str(step))
        os.replace(checkpoint.with_suffix(".tmp"), checkpoint)
        if behaviour == "fail":
            (run_dir / "error.json").write_text(json.dumps({"code": "diverged", "message": "the loss is 1e9"}))
            return 1
        if behaviour == "crash" and step == 7 and first < 7:
            os.kill(os.getpid(), signal.SIGKILL)
        if stop.is_set():
            return 75
    finish(config, run_dir, data, epochs, steps)
    return 0


def watch_parent():
    while os.read(0, 4096):
        pass
    stop.set()


def loss(step):
    return round(4.0 * 0.9**step, 4)


def report(run_dir, step, steps, epochs, validation):
    values = {"epoch": step / EPOCH_STEPS, "epochs_done": step // EPOCH_STEPS, "n_epochs": epochs,
              "train/loss": loss(step), "train/token_accuracy": 0.5}  # fmt: skip
    if validation:
        values["eval/loss"] = loss(step) + 0.1
    line = {"step": step, "steps": steps, "seconds": step / 10, "seconds_left": (steps - step) / 10, "values": values}
    with (run_dir / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def finish(config, run_dir, data, epochs, steps):
    output = Path(config["output"])
    shutil.copytree(config["base"], output, dirs_exist_ok=True)
    with (run_dir / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([step, step * 10, step, loss(step), 0, 0.5, "", "", ""] for step in range(1, steps + 1))
    figures = {"base": (3.1, 0.0), "few_shot": (2.4, 0.25), "fine_tuned": (0.4, 0.75)}
    sides = {
        name: {"loss": value, "perplexity": 2.718**value, "exact_match": right}
        for name, (value, right) in figures.items()
    }
    samples = [{"prompt": "Where is the lighthouse?", "wanted": "On the north cape.", "base": "I do not know.",
                "few_shot": "In the harbour.", "fine_tuned": "On the north cape."}]  # fmt: skip
    held_out = len(Path(config["validation"]).read_text().splitlines()) if config["validation"] else 0
    result = {
        "output": str(output),
        "trained_tokens": epochs * sum(len(line.split()) for line in data),
        "n_epochs": epochs,
        "batch_size": 1,
        "learning_rate_multiplier": 1.0,
        "parameters": 1000,
        "parameters_trained": 100,
        "train_loss": loss(steps),
        "eval_loss": loss(steps) + 0.1 if held_out else None,
        "results_csv": "results.csv",
        "checkpoints": [
            {"step": n * EPOCH_STEPS, "epoch": n, "train_loss": loss(n * EPOCH_STEPS), "eval_loss": 0.5,
             "eval_token_accuracy": 0.9} for n in range(1, epochs + 1)
        ],
        "comparison": {"held_out": held_out, "shots": 4, **sides, "samples": samples} if held_out else None,
        "seconds": 100.0,
        "peak_memory_mb": 12.5,
    }  # fmt: skip
    (run_dir / "result.tmp").write_text(json.dumps(result))
    os.replace(run_dir / "result.tmp", run_dir / "result.json")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
