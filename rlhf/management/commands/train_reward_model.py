"""`train_reward_model`: trains a reward model on rankings and flags."""

from typing import Any

from django.core.management.base import CommandParser

from chat import policies
from rlhf.commands import RlhfCommand, add_settings, new_run, snapshot_by_id
from rlhf.models import Run
from rlhf.runs import cycle, requirements
from rlhf.runs.requirements import Wish


class Command(RlhfCommand):
    help = "Trains a reward model on a snapshot, in the foreground. Ctrl+C saves a checkpoint."
    examples = """
        manage.py train_reward_model
        manage.py train_reward_model --snapshot 3 --seed 1 --json
        manage.py train_reward_model --set epochs=3 --set violation_weight=1
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--snapshot", type=int, help="id of a snapshot (default: freeze one now)")
        parser.add_argument("--seed", type=int, default=0)
        add_settings(parser, "epochs=3")

    def handle(self, *args: Any, **options: Any) -> None:
        live = policies.live()
        requirements.refuse(Wish(live, algorithm=""))
        snapshot = snapshot_by_id(options["snapshot"])
        config = {"seed": options["seed"], "splits": ["train"], "hyperparameters": dict(options["set"])}
        judge = cycle.judge_of(snapshot)
        if judge["kind"] == "gold":  # a known preference measures the reward model, too
            config["judge"] = judge
        run = new_run(Run.Kind.REWARD_MODEL, snapshot=snapshot, base_policy=live, config=config)
        self.finish_run(self.drive(run, "Reward model"))
