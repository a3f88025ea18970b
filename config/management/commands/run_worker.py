"""`manage.py run_worker`: the tasks of the queues that it is given, in a process of its own."""

import os
from argparse import ArgumentTypeError
from collections.abc import Sequence
from typing import Any

from django.core.management import CommandParser

from base.commands import ChamsaeCommand
from config import roles


class Command(ChamsaeCommand):
    needs_tables = False
    help = "Does the tasks of its queues: `train` has cycles and trainings, `light` all others."
    examples = """
        manage.py run_worker
        manage.py run_worker --queues light
        manage.py run_worker --queues train --tasks-at-a-time 2
    """

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queues", type=_queues, default=roles.QUEUES, help="comma-separated; default: all")
        parser.add_argument("--tasks-at-a-time", type=_at_least_one, default=roles.WORKERS, metavar="N")
        parser.add_argument("--name", default=f"worker-{os.getpid()}", help="by which Celery tells workers apart")

    def handle(self, *args: Any, queues: Sequence[str], tasks_at_a_time: int, name: str, **options: Any) -> None:
        roles.become(roles.worker(name, queues=queues, tasks_at_a_time=tasks_at_a_time))


def _queues(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in roles.QUEUES]:
        raise ArgumentTypeError(f"there is no queue {unknown[0]!r}; queues: {', '.join(roles.QUEUES)}")
    if not names:
        raise ArgumentTypeError(f"queues: {', '.join(roles.QUEUES)}")
    return names


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("a whole number of at least 1")
    return int(text)
