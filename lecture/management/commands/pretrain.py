"""`manage.py pretrain`: pre-trains a tiny GPT, and tells how many parameters the large ones have."""

import subprocess
import sys
from typing import Any

import psutil
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandParser

from base.child_environment import child_environment
from base.commands import ChamsaeCommand, Exit
from rlhf.training.lecture.presets import PRESETS, TINY

MODULE = "rlhf.training.lecture.presets"
BYTES_A_WEIGHT = 16
"""While it is trained: the weight, its gradient and Adam's two moments, of 4 bytes each."""


class Command(ChamsaeCommand):
    help = "Pre-trains the tiny GPT on the lecture's text; of the others counts the parameters, without memory."
    examples = """
        manage.py pretrain --preset tiny
        manage.py pretrain --preset gpt3 --count
        manage.py pretrain --preset gpt2 --count --json
    """
    needs_tables = False

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--preset", choices=sorted(PRESETS), default="tiny")
        parser.add_argument("--count", action="store_true", help="only count the parameters")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["preset"]
        if name == TINY and not options["count"]:
            json = ["--json"] if self.as_json else []
            call_command("teach_lecture", "--families", "gpt", *json, stdout=self.stdout, stderr=self.stderr)
            return
        needed = PRESETS[name].parameters * BYTES_A_WEIGHT
        free = psutil.virtual_memory().total
        result: dict[str, Any] = {"preset": name, "training_gb": round(needed / 1e9, 1)}
        if options["count"]:
            self.finish({**result, "parameters": _counted(name)})
            return
        has = f"{name} needs {needed / 1e9:.1f} GB to be trained; this machine has {free / 1e9:.1f} GB"
        message = f"{has}. Only its size is told here: add --count"
        error = {"code": "not_trained_here", "message": message}
        self.finish({**result, "error": error}, Exit.FAILED, message)


def _counted(name: str) -> int:
    """By a child process, since torch is not loaded here."""
    done = subprocess.run(
        [sys.executable, "-m", MODULE, name],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
        env=child_environment({}),
    )
    return int(done.stdout)
