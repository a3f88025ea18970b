"""`snapshot`: freezes the present feedback."""

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from rlhf.commands import RlhfCommand
from rlhf.snapshots import freezing


def moment(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    return parsed if timezone.is_aware(parsed) else timezone.make_aware(parsed)


class Command(RlhfCommand):
    help = "Freezes all feedback allowed for training into files that never change. Exit code 3: too little feedback."
    examples = """
        manage.py snapshot
        manage.py snapshot --until 2026-11-24T09:00
        manage.py snapshot --json
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--until", type=moment, help="leave out judgements made at or after this time")

    def handle(self, *args: Any, **options: Any) -> None:
        made = freezing.freeze(options["until"])
        counts = ("rankings", "comparisons", "held_out", "flags", "prompts", "simulated", "imported", "left_out")
        result = {"snapshot": made.pk, "sha256": made.sha256, "directory": str(made.path)}
        self.finish({**result, **{name: getattr(made, name) for name in counts}})
