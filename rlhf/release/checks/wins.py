"""Whether the candidate's replies are preferred to those of the live policy, and by more than their length."""

from collections.abc import Iterator
from dataclasses import replace

from rlhf.release.checks.reason import Reason, Report, Thresholds, above, at_least, measured
from rlhf.release.report_values import number_at


def check(candidate: Report, live: Report | None, t: Thresholds) -> Iterator[Reason]:
    yield measured(
        above("win_rate", "lower bound of the win rate", candidate.get("win_rate_low"), t["win_rate_low_min"]),
        candidate,
        "win_rate",
    )
    cut = number_at(candidate, "controls", "stop_controlled", "low")
    yield replace(
        at_least(
            "stop_controlled",
            "lower bound of the win rate with both sides cut to the first sentence",
            cut,
            t["stop_controlled_low_min"],
        ),
        estimate=number_at(candidate, "controls", "stop_controlled", "win_rate"),
        low=cut,
        high=number_at(candidate, "controls", "stop_controlled", "high"),
    )
