"""`manage.py simulate_annotators`: makes rankings and flags by a stated preference, labelled simulated."""

import argparse
import time
from typing import Any

from django.core.management.base import CommandParser

from base.commands import ChamsaeCommand, Exit
from chat.errors import ChatError
from feedback.preferences import DEFAULT_FLAGS, DEFAULT_PREFERENCE, PREFERENCES, BadFunction, dotted
from feedback.simulated.cases import SimulationPlan
from feedback.simulated.collecting import CollectionStopped
from feedback.simulated.comparing import compare
from feedback.simulated.simulation import NothingToSimulate, UnknownRule, simulate


class Command(ChamsaeCommand):
    help = (
        "Simulated annotators rank and flag real completions of the live policy. Works while a site is running; "
        "everything it creates is marked as simulated. A few completions are shortened on purpose to a few words or "
        "to nothing (--short), because a reward model that never saw such short replies overrates them. Completions "
        "are stored as they are made: after an interruption the same command goes on from there. People who chat "
        "meanwhile come first."
    )
    examples = """
    manage.py simulate_annotators --rankings 150
    manage.py simulate_annotators --rankings 300 --noise 0.2 --seed 7 --json
    manage.py simulate_annotators --preference shorter --rankings 50
    manage.py simulate_annotators --comparisons 20 --seed 3
    manage.py simulate_annotators --rankings 100 --preference mine.tastes:score --flags no-insults=mine.tests:insults
    """
    failures = (ChatError, CollectionStopped)
    nothing = (NothingToSimulate,)

    def add_arguments(self, parser: CommandParser) -> None:
        names = ", ".join(PREFERENCES)
        tests = ", ".join(f"{key}={dotted(test)}" for key, test in DEFAULT_FLAGS.items())
        parser.add_argument(
            "--preference",
            default=DEFAULT_PREFERENCE,
            help=f"{names}, or module.path:function of (prompt, completion) -> score (default {DEFAULT_PREFERENCE})",
        )
        parser.add_argument(
            "--flags",
            nargs="*",
            type=_rule_and_test,
            metavar="RULE=module.path:function",
            help=f"functions of (prompt, completion) -> bool (default {tests})",
        )
        parser.add_argument("--rankings", type=int, default=0, metavar="N", help="rankings to make")
        parser.add_argument(
            "--comparisons",
            type=int,
            default=0,
            metavar="N",
            help="answer at most N of the blind comparisons that a cycle waits for (run_cycle --comparisons)",
        )
        parser.add_argument(
            "--noise",
            type=_share_below_half,
            default=0.1,
            metavar="P",
            help="share of wrong pairs and flags, below 0.5 (default 0.1)",
        )
        parser.add_argument(
            "--held-out-noise",
            type=_share_below_half,
            metavar="P",
            help="the same for held-out prompts (default: same as --noise; 0 measures against the preference itself)",
        )
        parser.add_argument(
            "--seed", type=int, default=0, metavar="S", help="seed of prompts, sampling and noise (default 0)"
        )
        parser.add_argument(
            "--held-out",
            type=_share_up_to_one,
            default=0.25,
            metavar="SHARE",
            help="share of rankings on held-out prompts (default 0.25)",
        )
        parser.add_argument(
            "--short",
            type=_share_up_to_one,
            default=0.1,
            metavar="SHARE",
            help="share of tasks with a shortened reply (default 0.1)",
        )
        parser.add_argument(
            "--tie-margin",
            type=_margin,
            default=0.25,
            metavar="SD",
            help="scores closer than this, in SDs, are ties (default 0.25)",
        )
        parser.add_argument(
            "--tokens",
            type=_tokens,
            metavar="N",
            help="longest completion (default CHAMSAE_COMPLETION_TOKENS)",
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        flags: dict[str, Any] = {} if options["flags"] is None else {"flags": dict(options["flags"])}
        plan = SimulationPlan(
            rankings=options["rankings"],
            preference=options["preference"],
            noise=options["noise"],
            held_out_noise=options["held_out_noise"],
            seed=options["seed"],
            held_out_share=options["held_out"],
            short_share=options["short"],
            tie_margin=options["tie_margin"],
            max_tokens=options["tokens"],
            **flags,
        )
        started = time.monotonic()
        try:
            result = self.simulated(plan, options["comparisons"])
        except (BadFunction, UnknownRule) as error:
            self.fail(error, Exit.USAGE)
        self.finish({**result, "seconds": round(time.monotonic() - started, 1)})

    def simulated(self, plan: SimulationPlan, comparisons: int) -> dict[str, Any]:
        """The rankings, the comparisons, or both; without either, an error of `simulate`."""
        result: dict[str, Any] = {}
        if comparisons > 0:
            result = compare(plan, comparisons)
        if plan.rankings or comparisons <= 0:
            with self.progress("simulated rankings") as meter:
                ranked = simulate(plan, on_progress=lambda done, of: meter(done, of, f"{done}/{of} completions"))
            result = {**ranked, **result}
        return result


def _rule_and_test(text: str) -> tuple[str, str]:
    key, equals, path = text.partition("=")
    if not (key and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r}: expected RULE=module.path:function")
    return key, path


def _bounded(text: str, low: float, high: float, *, is_high_excluded: bool = False) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number") from None
    if not low <= value <= high or (is_high_excluded and value == high):
        expected = f"from {low:g} to below {high:g}" if is_high_excluded else f"from {low:g} to {high:g}"
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number {expected}")
    return value


def _share_below_half(text: str) -> float:
    return _bounded(text, 0, 0.5, is_high_excluded=True)


def _share_up_to_one(text: str) -> float:
    return _bounded(text, 0, 1)


def _tokens(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of tokens")
    return int(text)


def _margin(text: str) -> float:
    return _bounded(text, 0, 10)
