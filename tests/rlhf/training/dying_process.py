"""`python -m tests.rlhf.training.dying_process STEP STAGE RUN_DIR`: the second of two processes is killed at a step.

By itself it is what the launcher starts; with `--launch CONFIG` before these it is the launcher.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.training import __main__ as training
from rlhf.training.launch import Launch, SharedStage
from rlhf.training.run import RunDirectory

THIS = [sys.executable, "-m", "tests.rlhf.training.dying_process"]


class DyingDirectory(RunDirectory):
    dies_at = 0

    def report(self, step: int, steps: int, values: Mapping[str, Any]) -> None:
        super().report(step, steps, values)
        if os.environ["RANK"] == "1" and step == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> int:
    if arguments[0] == "--launch":
        _, config, *rest = arguments
        return SharedStage([*THIS, *rest], Launch.read(Path(config)), RunDirectory(Path(rest[-1]))).wait()
    from rlhf.training import run

    DyingDirectory.dies_at = int(arguments[0])
    run.RunDirectory = DyingDirectory  # type: ignore[misc]
    training.end(training.main(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
