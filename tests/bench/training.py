"""A training beside the site's replies: started as the site starts its own, and at work until it is not needed."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench import island
from tests.site import ROOT, Site

PROGRAM = """
import sys
from pathlib import Path
from chat import policies
from rlhf.runs.child_process import TrainingProcess, free_threads
folder = Path({folder!r})
config = {{
    "base": str(policies.directory(policies.live())),
    "output": str(folder / "tuned"),
    "data": str(folder / "data.jsonl"),
    "validation": None,
    "hold_out": 0.0,
    "method": "supervised",
    "scope": "lora",
    "form": "prompt_completion",
    "hyperparameters": {{"n_epochs": 1000, "checkpoint_seconds": 0}},
    "seed": 0,
    "threads": free_threads(),
}}
training = TrainingProcess("fine_tune", folder, config)
sys.stdin.read()
training.kill()
"""
PATIENCE_S = 180.0


@contextlib.contextmanager
def beside(site: Site, folder: Path) -> Iterator[None]:
    """Entered once its first step is done."""
    folder.mkdir(parents=True)
    rows = island.lines("prompt_completion")
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    program = PROGRAM.format(folder=str(folder))
    starter = subprocess.Popen(
        [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", program],
        cwd=ROOT,
        env=site.environment,
        stdin=subprocess.PIPE,
    )
    try:
        _until_at_work(folder, starter)
        yield
    finally:
        starter.communicate(timeout=30)


def _until_at_work(folder: Path, starter: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not (folder / "metrics.jsonl").exists():
        if starter.poll() is not None or time.monotonic() > deadline:
            log = folder / "log.txt"
            raise SystemExit("the training did not begin\n" + (log.read_text()[-2000:] if log.exists() else ""))
        time.sleep(0.2)
