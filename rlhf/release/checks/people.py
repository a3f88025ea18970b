"""Whether people prefer the candidate's replies, and enough of them were asked, where they decide."""

from collections.abc import Iterator
from dataclasses import replace

from rlhf.release.checks.reason import Reason, Report, Thresholds, above, at_least
from rlhf.release.report_values import number_at


def check(candidate: Report, live: Report | None, t: Thresholds) -> Iterator[Reason]:
    if candidate.get("decided_by") != "people":
        return
    low = number_at(candidate, "people", "low")
    yield replace(
        above("people_win_rate", "lower bound of the win rate by people", low, t["win_rate_low_min"]),
        estimate=number_at(candidate, "people", "win_rate"),
        low=low,
        high=number_at(candidate, "people", "high"),
    )
    n, people = number_at(candidate, "people", "n"), number_at(candidate, "people", "people")
    yield at_least("people_comparisons", "comparisons by people", n, t["people_comparisons_min"])
    yield at_least("people_several", "people who compared", people, t["people_min"])
