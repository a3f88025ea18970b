"""`manage.py simulate_course`: annotators of stated quality judge a project; who is found, what attackers cost."""

import argparse
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandParser

from base.commands import Exit
from chat.models import Conversation
from config import throwaway
from config.simulated_course import figures, judging, people, report, texts
from config.simulated_course.demands import demands
from config.simulated_course.judging import KEY, CoursePlan
from config.simulated_site.people_live_here import PeopleLiveHere
from feedback.models import Project, Ranking
from rlhf.commands import RlhfCommand
from rlhf.exports import writing
from rlhf.exports.errors import ExportRefused
from rlhf.snapshots import freezing


class Command(RlhfCommand):
    help = (
        "Simulated annotators, of whom some are noisy, click at random, always choose the left or the longest reply, "
        "collude or flag everything, judge a project from its import to its export by the functions that people's "
        "judgements go through. Trust measures them as it measures people; the report shows what it found beside "
        "what is true, and what a linear reward model learns from weighted and from raw judgements. Everything is "
        "stored under var/simulated-course-SEED and marked as simulated. No model is needed."
    )
    examples = """
        manage.py simulate_course
        manage.py simulate_course --people 40 --items 2000 --seed 3 --json
    """
    failures = (*RlhfCommand.failures, ExportRefused, PeopleLiveHere, throwaway.AlreadyRunning)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--people", type=_from(12), default=40, metavar="M", help="default: %(default)s")
        parser.add_argument("--items", type=_from(40), default=2000, metavar="N", help="default: %(default)s")
        parser.add_argument("--overlap", type=_from(1), default=3, metavar="N", help="judgements of each item (3)")
        parser.add_argument("--replies", type=_from(2), default=3, metavar="K", help="of each item (default 3)")
        parser.add_argument("--gold", type=_from(0), default=40, metavar="N", help="items with a known answer (40)")
        parser.add_argument("--seed", type=int, default=0, metavar="S")
        parser.add_argument(
            "--here", action="store_true", help="use CHAMSAE_HOME itself; refused where people have talked or judged"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["here"]:
            names = ("people", "items", "overlap", "replies", "gold", "seed")
            self.simulate(CoursePlan(**{name: options[name] for name in names}))
        else:
            home = settings.HOME / f"simulated-course-{options['seed']}"
            sys.exit(throwaway.run_this_command(home, None, again=False, CHAMSAE_MEASURE_PROGRAMS="1"))

    def simulate(self, plan: CoursePlan) -> None:
        is_lived_in = Conversation.objects.exists() or Ranking.objects.exists()
        if is_lived_in or Project.objects.filter(key=KEY).exists() or not settings.FEEDBACK_MEASURES_PROGRAMS:
            raise PeopleLiveHere
        if plan.gold >= plan.items or plan.overlap * plan.people == 0:
            self.fail(ValueError("--gold must be below --items"), Exit.USAGE)
        started, draw = time.monotonic(), random.Random(f"{plan.seed}/course")
        course = people.people(plan.people, draw)
        items = texts.items(plan.items, plan.replies, draw)
        judging.set_up(plan, Path(settings.HOME), course, items)
        with self.progress("Judging (simulated)") as meter:
            made = judging.judge_all(course, items, draw, lambda done, of: meter(done, of, f"{done}/{of} judgements"))
        frozen = freezing.freeze()
        result: dict[str, Any] = {
            "simulated": True,
            "plan": asdict(plan),
            "judgements": made,
            "snapshot": {"sha256": frozen.sha256, "rankings": frozen.rankings, "flags": frozen.flags},
            "exported": self.exported(),
            **figures.of_course(course, plan.seed, plan.replies),
        }
        result["demands"] = demands(result)
        result |= {"seconds": round(time.monotonic() - started, 1), "home": str(settings.HOME)}
        code = Exit.DONE if all(demand["is_met"] for demand in result["demands"]) else Exit.FAILED
        self.finish(result, code, report.render(result))

    def exported(self) -> dict[str, int]:
        """Counts of the file of preferences, which stays in the home."""
        wanted = writing.ExportRequest("trl-preference", "jsonl", KEY, "")
        return dict(writing.write_one(Path(settings.HOME) / "simulated-course-preferences.jsonl", wanted).counts)


def _from(least: int) -> Callable[[str], int]:
    """A reader of whole numbers of at least `least`."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least {least}")
        return int(text)

    return read
