"""`manage.py demo`: a whole cycle with the real model, trained on judgements of simulated annotators."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandParser

from accounts import demo
from base.commands import Exit
from chat import policies
from chat.errors import ChatError
from chat.models import Policy
from config import throwaway
from config.demo import arms, report
from config.demo.arms import Arm
from feedback import seed
from feedback.models import UnjudgedSet
from feedback.preferences import DEFAULT_PREFERENCE, PREFERENCES, BadFunction
from feedback.simulated.cases import SimulationPlan
from feedback.simulated.collecting import CollectionStopped
from feedback.simulated.simulation import simulate
from rlhf.commands import RlhfCommand
from rlhf.release import promotion
from rlhf.runs import cycle, fetching

COLLECTED = "collected.json"


class Command(RlhfCommand):
    help = (
        "Simulated annotators with a known hidden preference rank real replies of the live model, then a whole "
        "cycle runs. Everything is stored under var/demo-SEED, so that it works while a site is running."
    )
    examples = """
        manage.py demo
        manage.py demo --seed 2 --rankings 60
        manage.py demo --preference shorter --json
        manage.py demo --seed 2 --rule-only
        manage.py demo --seed 2 --rule-only --again
    """
    failures = (*RlhfCommand.failures, ChatError, CollectionStopped, throwaway.AlreadyRunning, throwaway.NoFormerRun)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--seed",
            type=int,
            default=0,
            metavar="S",
            help="seed of prompts, sampling, noise and training (default 0)",
        )
        parser.add_argument(
            "--rankings",
            type=int,
            default=200,
            metavar="N",
            help="rankings of four replies each; a quarter is held out (default 200)",
        )
        parser.add_argument(
            "--preference",
            default=DEFAULT_PREFERENCE,
            help=f"{', '.join(PREFERENCES)}, or module.path:function (default {DEFAULT_PREFERENCE})",
        )
        parser.add_argument(
            "--rule-only",
            action="store_true",
            help="PPO learns only from flagged rule violations: no rankings, no penalty for unfinished replies",
        )
        parser.add_argument(
            "--again",
            action="store_true",
            help="use what the last demo with this seed collected, or go on collecting where it stopped",
        )
        parser.add_argument("--here", action="store_true", help="use CHAMSAE_HOME itself, not a new directory")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["here"]:
            plan = SimulationPlan(
                rankings=options["rankings"],
                preference=options["preference"],
                seed=options["seed"],
                held_out_noise=0.0,
            )
            arm = arms.RULE_ONLY if options["rule_only"] else arms.EVERYTHING
            self.demonstrate(arm, plan, again=options["again"])
        else:
            home = settings.HOME / f"demo-{options['seed']}"
            base = policies.directory(self.fetch())
            sys.exit(throwaway.run_this_command(home, base, again=options["again"]))

    def demonstrate(self, arm: Arm, plan: SimulationPlan, *, again: bool) -> None:
        started = time.monotonic()
        seed.load()
        if settings.DEMO:
            demo.create_accounts()
        self.fetch()
        collected = self.collected_before() if again and _collected().exists() else self.collect(plan, again=again)
        collecting_seconds = round(time.monotonic() - started, 1)
        run = self.drive(cycle.start(seed=plan.seed, hyperparameters=arm.hyperparameters), "Learning")
        if not run.result:
            self.finish_run(run)
            return
        result = {
            **run.result,
            "simulated": True,
            "learnt_from": arm.name,
            "floors": arm.check_floors(run.result),
            "collected": collected,
            "collecting_seconds": collecting_seconds,
            "seconds": round(time.monotonic() - started, 1),
            "home": str(Path(settings.HOME)),
        }
        self.finish_run(run, result) if self.as_json else self.finish(result, text=report.render(result))

    def fetch(self) -> Policy:
        with self.progress(f"Model {settings.CHAT_MODEL}") as meter:
            return fetching.ensure_base_policy(settings.CHAT_MODEL, meter)[0]

    def collect(self, plan: SimulationPlan, *, again: bool) -> dict[str, Any]:
        if again and not UnjudgedSet.objects.exists():
            raise throwaway.NoFormerRun(settings.HOME)
        try:
            with self.progress("Collecting judgements (simulated)") as meter:
                made = simulate(plan, on_progress=lambda done, of: meter(done, of, f"{done}/{of} replies"))
        except BadFunction as error:
            self.fail(error, Exit.USAGE)
        _collected().write_text(json.dumps(made))
        return made

    def collected_before(self) -> dict[str, Any]:
        """What the former demo collected. Where its model went live, the base is made live again."""
        while policies.live().base is not None:
            promotion.rollback(actor=None, reason="the demo is trained again")
        found: dict[str, Any] = json.loads(_collected().read_text())
        return found


def _collected() -> Path:
    """Where the demo keeps what it collected; absent until that is complete."""
    return Path(settings.HOME) / COLLECTED
