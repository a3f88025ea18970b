"""`run_cycle`: trains, evaluates and promotes or refuses a policy, from the present feedback."""

from typing import Any

from django.core.management.base import CommandParser

from rlhf.commands import RlhfCommand, add_settings, by_stage
from rlhf.models import Run
from rlhf.runs import cycle, leases


class Command(RlhfCommand):
    help = (
        "Freezes the feedback, trains a reward model and a policy, evaluates the policy and runs the gate. Resumes a "
        "cycle whose supervisor died. A candidate that the gate rejects is a result, not a failure: see gate.passed. "
        "Exit code 3: too little feedback, for the training or for its judge, or a cycle is already running."
    )
    examples = """
        manage.py run_cycle
        manage.py run_cycle --seed 1 --json
        manage.py run_cycle --algorithm dpo --no-promote
        manage.py run_cycle --set reward_model.epochs=3 --set policy.violation_weight=8
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--algorithm", choices=cycle.ALGORITHMS, default="ppo", help="default: %(default)s")
        parser.add_argument("--seed", type=int, help="default: the number of cycles so far")
        add_settings(parser, "policy.violation_weight=8")
        parser.add_argument(
            "--unqualified",
            action="store_true",
            help="train though people judged too little for a judge that the gate admits: it will refuse the policy",
        )
        parser.add_argument("--no-promote", action="store_true", help="stop after the gate's decision")

    def handle(self, *args: Any, **options: Any) -> None:
        run = self.abandoned() or cycle.start(
            algorithm=options["algorithm"],
            seed=cycle.next_seed() if options["seed"] is None else options["seed"],
            promotes=not options["no_promote"],
            unqualified=options["unqualified"],
            hyperparameters=by_stage(options["set"]),
        )
        run = self.drive(run, "Cycle")
        self.finish_run(run, run.result)

    def abandoned(self) -> Run | None:
        """A live cycle whose supervisor died, to be resumed instead of starting another."""
        if cycle.live_cycle() is None:
            return None
        leases.take_over_silent()
        left = cycle.live_cycle()
        if left is None or left.state != Run.State.QUEUED or not left.error:
            return None
        self.note(f"Resuming run {left.pk}: {left.error}")
        return left
