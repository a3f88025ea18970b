"""The gate: decides by evaluation reports and thresholds whether a candidate passes. Pure: no row, no file.

A number that is missing or not finite refuses: a candidate is promoted for what was measured, never for what was not.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rlhf.release.checks import distance, files, judge, people, probing, replies, violations, wins
from rlhf.release.checks.reason import Report

CHECKS = (wins, people, judge, violations, probing, distance, replies, files)
"""In the order in which people read them."""


@dataclass(frozen=True)
class GateResult:
    passed: bool
    reasons: list[dict[str, Any]]
    """Every condition as a dict of Reason's fields, those that hold as well as those that failed."""


def decide(candidate: Report, live: Report | None, thresholds: Mapping[str, float]) -> GateResult:
    """`candidate` compares the candidate with the live policy on the same held-out prompts; `live` is the report by
    which the live policy was promoted, None for a base policy."""
    reasons = [reason for about in CHECKS for reason in about.check(candidate, live, thresholds)]
    return GateResult(all(reason.holds for reason in reasons), [asdict(reason) for reason in reasons])
