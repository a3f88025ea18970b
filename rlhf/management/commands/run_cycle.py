"""`run_cycle`: trains, evaluates and promotes or refuses a policy, from the present feedback."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from base.commands import Exit
from rlhf.commands import RlhfCommand, add_settings, by_stage
from rlhf.labels import DEMONSTRATION, JUDGES
from rlhf.models import Run
from rlhf.runs import comparing, cycle, leases, preflight
from rlhf.snapshots import fragments


class Command(RlhfCommand):
    help = (
        "Freezes the feedback, trains a reward model and a policy, evaluates the policy and runs the gate. Resumes a "
        "cycle whose supervisor died. A candidate that the gate rejects is a result, not a failure: see gate.passed. "
        "With --comparisons it ends once people are asked, and the cycle waits: the site's worker, or this command "
        "called again, goes on when they have answered. Exit code 3: too little feedback, for the training or for "
        "its judge, or a cycle is already running or still waits."
    )
    examples = """
        manage.py run_cycle
        manage.py run_cycle --seed 1 --json
        manage.py run_cycle --algorithm dpo --no-promote
        manage.py run_cycle --judge people --comparisons 60
        manage.py run_cycle --check --algorithm rloo
        manage.py run_cycle --decide-now
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
        parser.add_argument(
            "--judge",
            choices=list(JUDGES),
            default="auto",
            help="who judges the candidate: gold, the program that made every judgement (a demonstration); held_out, "
            "a reward model trained on held-out judgements; people, in blind comparisons (needs --comparisons); "
            "auto: gold where it applies, else held_out (default)",
        )
        parser.add_argument(
            "--comparisons",
            type=int,
            default=0,
            metavar="K",
            help="ask annotators for K blind comparisons of the candidate and the live policy, and wait for them",
        )
        parser.add_argument(
            "--decide-now",
            action="store_true",
            help="let the gate decide on the cycle that waits, with the comparisons that there are",
        )
        parser.add_argument(
            "--check", action="store_true", help="only say what is missing; nothing starts (code 3: it could not)"
        )
        parser.add_argument("--no-promote", action="store_true", help="stop after the gate's decision")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["comparisons"] < 0:
            raise CommandError("--comparisons can't be negative", returncode=Exit.USAGE)
        if options["check"]:
            found = preflight.check(options["algorithm"], by_stage(options["set"]))
            self.tell_needs(found, unqualified=options["unqualified"] or options["judge"] == "people")
            return
        if options["decide_now"]:
            run = self.waiting()
        else:
            if warning := fragments.count().warning:
                self.note(warning)
            run = self.abandoned() or cycle.start(
                algorithm=options["algorithm"],
                seed=cycle.next_seed() if options["seed"] is None else options["seed"],
                promotes=not options["no_promote"],
                judge=options["judge"],
                comparisons=options["comparisons"],
                unqualified=options["unqualified"],
                hyperparameters=by_stage(options["set"]),
            )
        if run.config["judge"]["kind"] == "gold":
            self.note(str(DEMONSTRATION))
        run = self.drive(run, "Cycle")
        asked = comparing.asked_by(run)
        if run.is_waiting and asked is not None:
            self.finish_waiting(run, asked)
        else:
            self.finish_run(run, run.result)

    def tell_needs(self, found: preflight.Preflight, *, unqualified: bool) -> None:
        """`unqualified`: the cycle would start without a judge that the gate admits."""
        starts = found.can_start or (unqualified and found.can_start_anyway)
        lacks = [*found.refusals, *([found.judge_shortage] if found.judge_shortage and not starts else [])]
        code = Exit.DONE if starts else Exit.NOTHING_TO_DO
        self.finish(found.as_json(), code, "\n".join(lacks) or "A cycle can start.")

    def waiting(self) -> Run:
        """The cycle that waits, whose comparisons are ended now."""
        run = cycle.live_cycle()
        if run is None or not comparing.decide_now(run, actor=None):
            raise CommandError("no cycle waits for comparisons", returncode=Exit.NOTHING_TO_DO)
        return run

    def finish_waiting(self, run: Run, asked: comparing.Asked) -> None:
        state = asked.state
        told = {"answered": state.answered, "wanted": state.wanted, "deadline": asked.round.deadline.isoformat()}
        text = (
            f"run {run.pk} waits for {state.pending} comparisons by people, until {asked.round.deadline:%Y-%m-%d}. "
            "Annotators get them on the Rank page; simulate_annotators --comparisons answers as a program would."
        )
        self.finish({"run": run.pk, "waiting": told}, text=text)

    def abandoned(self) -> Run | None:
        """A live cycle whose supervisor died, or which people have answered, to be driven on instead of a new one."""
        if cycle.live_cycle() is None:
            return None
        over = comparing.go_on_where_over()
        leases.take_over_silent()
        left = cycle.live_cycle()
        if left is not None and left.pk in over:
            self.note(f"Run {left.pk} goes on: the comparisons that it waited for are over")
            return left
        if left is None or left.state != Run.State.QUEUED or not left.error:
            return None
        self.note(f"Resuming run {left.pk}: {left.error}")
        return left
