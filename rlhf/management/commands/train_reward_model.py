"""`train_reward_model`: rankings and flags become a reward model."""

from typing import Any

from django.core.management.base import CommandParser

from chat import policies
from rlhf.commands import RlhfCommand, new_run, snapshot_by_id
from rlhf.models import Run


class Command(RlhfCommand):
    help = "Trains a reward model on a snapshot, in the foreground. Ctrl+C writes a checkpoint."
    examples = """
        manage.py train_reward_model
        manage.py train_reward_model --snapshot 3 --seed 1 --json
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--snapshot", type=int, help="id of a snapshot (default: freeze one now)")
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *args: Any, **options: Any) -> None:
        run = new_run(
            Run.Kind.REWARD_MODEL,
            snapshot=snapshot_by_id(options["snapshot"]),
            base_policy=policies.live(),
            config={"seed": options["seed"], "splits": ["train"]},
        )
        self.finish_run(self.drive(run, "Reward model"))
