"""`train_policy`: tunes the live policy against a reward model."""

from typing import Any

from django.core.management.base import CommandParser

from chat import policies
from rlhf.commands import RlhfCommand, add_settings, new_run, reward_model_run
from rlhf.models import Run
from rlhf.runs import requirements
from rlhf.runs.cycle import ALGORITHMS
from rlhf.runs.requirements import Wish


class Command(RlhfCommand):
    help = "Trains the live policy with a reward model, in the foreground. The result is not promoted."
    examples = """
        manage.py train_policy
        manage.py train_policy --algorithm grpo --reward-model 12
        manage.py train_policy --seed 1 --json
        manage.py train_policy --set score_weight=0 --set missing_eos_penalty=0
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--algorithm", choices=ALGORITHMS, default="ppo", help="default: %(default)s")
        parser.add_argument("--reward-model", type=int, help="id of the run that trained it (default: the newest)")
        parser.add_argument("--seed", type=int, default=0)
        add_settings(parser, "violation_weight=8")

    def handle(self, *args: Any, **options: Any) -> None:
        reward_model = reward_model_run(options["reward_model"])
        live, chosen = policies.live(), dict(options["set"])
        requirements.refuse(Wish(live, options["algorithm"], {"policy": chosen}))
        run = new_run(
            Run.Kind.POLICY,
            algorithm=options["algorithm"],
            snapshot=reward_model.snapshot,
            reward_model=reward_model,
            base_policy=live,
            config={"seed": options["seed"], "hyperparameters": chosen},
        )
        run = self.drive(run, f"Policy ({run.algorithm})")
        self.finish_run(run, {"run": run.pk, "policy": run.policy.name if run.policy else None, **run.result})
