"""`manage.py simulate_site`: people of different tastes judge, and cycle after cycle learns from them."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandParser

from base.commands import Exit
from chat import policies
from chat.errors import ChatError
from chat.models import Conversation, Policy
from config import throwaway
from config.simulated_site import report
from config.simulated_site.demands import demands
from config.simulated_site.people import Population
from config.simulated_site.people_live_here import PeopleLiveHere
from config.simulated_site.rounds import OtherSimulation, Rules, SimulatedSite
from feedback import seed
from feedback.models import Ranking
from feedback.preferences import DEFAULT_PREFERENCE, PREFERENCES, BadFunction, preference
from feedback.simulated.collecting import CollectionStopped
from rlhf.commands import RlhfCommand
from rlhf.labels import ALGORITHMS
from rlhf.runs import fetching


class Command(RlhfCommand):
    help = (
        "Simulated people with tastes of their own rank and flag replies of the live policy, some of them by one "
        "hidden wrong rule; then a cycle runs, as the schedule would run it; and again, cycle after cycle. The "
        "report shows every cycle beside the last one and the original base. Everything is stored under "
        "var/simulated-site-SEED. After an interruption, --again goes on."
    )
    examples = """
        manage.py simulate_site --cycles 5
        manage.py simulate_site --cycles 3 --preference finished-and-modest,shorter --people 8 --colluding 0.25
        manage.py simulate_site --cycles 2 --algorithm dpo --seed 4 --json
        manage.py simulate_site --cycles 5 --seed 4 --again
    """
    failures = (
        *RlhfCommand.failures,
        ChatError,
        CollectionStopped,
        OtherSimulation,
        PeopleLiveHere,
        throwaway.AlreadyRunning,
        throwaway.NoFormerRun,
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--cycles", type=_at_least_one, default=5, metavar="N", help="default: %(default)s")
        parser.add_argument(
            "--preference",
            default=DEFAULT_PREFERENCE,
            metavar="P[,P2]",
            help=f"tastes, in turn over the people: {', '.join(PREFERENCES)}, or module.path:function",
        )
        parser.add_argument("--people", type=_at_least_one, default=4, metavar="M", help="default: %(default)s")
        parser.add_argument(
            "--noise", type=float, default=0.1, metavar="E", help="mean share of wrong pairs and flags (default 0.1)"
        )
        parser.add_argument(
            "--colluding", type=float, default=0.0, metavar="X", help="share of people who answer by a wrong rule"
        )
        parser.add_argument(
            "--rankings",
            type=_at_least_one,
            default=25,
            metavar="N",
            help="of each person in each cycle (default %(default)s)",
        )
        parser.add_argument("--held-out", type=float, default=0.25, metavar="SHARE", help="of the rankings")
        parser.add_argument("--judge", help="given to run_cycle (default: what the schedule does)")
        parser.add_argument("--algorithm", choices=tuple(ALGORITHMS), default="ppo", help="default: %(default)s")
        parser.add_argument(
            "--set", action="append", default=[], metavar="STAGE.NAME=VALUE", help="given to run_cycle"
        )
        parser.add_argument(
            "--tokens",
            type=_at_least_one,
            default=settings.FEEDBACK_COMPLETION_TOKENS,
            metavar="N",
            help="longest completion, everywhere (default %(default)s, the site's)",
        )
        parser.add_argument(
            "--iterations", type=_at_least_one, default=12, metavar="N", help="of PPO in each cycle (default 12)"
        )
        parser.add_argument(
            "--evaluation-prompts",
            type=_at_least_one,
            default=80,
            metavar="N",
            help="held-out prompts on which a candidate is compared (default 80)",
        )
        parser.add_argument(
            "--gold-prompts", type=_at_least_one, default=60, metavar="N", help="held-out prompts of the gold figures"
        )
        parser.add_argument("--seed", type=int, default=0, metavar="S")
        parser.add_argument("--again", action="store_true", help="go on where the last simulation of this seed ended")
        parser.add_argument(
            "--here", action="store_true", help="use CHAMSAE_HOME itself; refused where people have talked or judged"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["here"]:
            self.simulate(options)
        else:
            home = settings.HOME / f"simulated-site-{options['seed']}"
            sys.exit(throwaway.run_this_command(home, policies.directory(self.fetch()), again=options["again"]))

    def simulate(self, options: dict[str, Any]) -> None:
        if Conversation.objects.exists() or Ranking.objects.filter(is_simulated=False).exists():
            raise PeopleLiveHere
        started = time.monotonic()
        seed.load()
        self.fetch()
        site = SimulatedSite(Path(settings.HOME), self.population(options), _rules(options))
        for number in range(len(site.cycles) + 1, options["cycles"] + 1):
            with self.progress(f"Cycle {number}: judging (simulated)") as meter:
                site.judge(number, lambda done, of: meter(done, of, f"{done}/{of} replies"))
            done = site.learn(number)
            self.note(f"Cycle {number}: {'promoted' if done['promoted'] else 'not promoted'} {done['policy'] or ''}")
        result = {
            "simulated": True,
            "population": site.state["population"],
            "colluding": sum(one.colludes for one in site.people),
            "cycles": site.cycles,
            "demands": [demand.as_json() for demand in demands(site.cycles, settings.GATE)],
            "seconds": round(time.monotonic() - started, 1),
            "home": str(settings.HOME),
        }
        self.finish(result, text=report.render(result))

    def population(self, options: dict[str, Any]) -> Population:
        tastes = tuple(options["preference"].split(","))
        try:
            for taste in tastes:
                preference(taste)
        except BadFunction as error:
            self.fail(error, Exit.USAGE)
        for name, high in (("noise", 0.5), ("colluding", 1.0), ("held_out", 1.0)):
            if not 0 <= options[name] < high:
                self.fail(ValueError(f"--{name.replace('_', '-')} must be from 0 to below {high:g}"), Exit.USAGE)
        return Population(options["people"], tastes, options["noise"], options["colluding"], options["seed"])

    def fetch(self) -> Policy:
        with self.progress(f"Model {settings.CHAT_MODEL}") as meter:
            return fetching.ensure_base_policy(settings.CHAT_MODEL, meter)[0]


def _rules(options: dict[str, Any]) -> Rules:
    arguments = ["--algorithm", options["algorithm"]]
    if options["judge"]:
        arguments += ["--judge", options["judge"]]
    scale = [f"{stage}.max_tokens={options['tokens']}" for stage in ("policy", "evaluation")]
    scale.append(f"evaluation.prompts={options['evaluation_prompts']}")
    if options["algorithm"] == "ppo":
        scale.append(f"policy.iterations={options['iterations']}")
    arguments += [word for setting in (*scale, *options["set"]) for word in ("--set", setting)]
    return Rules(
        rankings=options["rankings"],
        held_out_share=options["held_out"],
        gold_prompts=options["gold_prompts"],
        max_tokens=options["tokens"],
        cycle_arguments=tuple(arguments),
    )


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 1")
    return int(text)
