"""Whether the candidate's replies, each by itself, are ones that a reader can bear."""

from collections.abc import Iterator

from rlhf.release.checks.reason import Reason, Report, Thresholds, at_most


def check(candidate: Report, live: Report | None, t: Thresholds) -> Iterator[Reason]:
    yield at_most("repetition", "share of repeated 3-grams", candidate.get("repetition"), t["repetition_max"])
    yield at_most("empty", "share of empty replies", candidate.get("empty_rate"), t["empty_rate_max"])
