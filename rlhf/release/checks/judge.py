"""Whether the judge that decided wins was good enough to decide: right often enough, on enough comparisons by people.

Asked of a reward model that decides. A gold judge is the function by which the annotators judge, and people are whom
a judge has to agree with; those have nothing to be measured against.
"""

from collections.abc import Iterator

from rlhf.release.checks.reason import Reason, Report, Thresholds, above, at_least, measured


def check(candidate: Report, live: Report | None, t: Thresholds) -> Iterator[Reason]:
    if candidate.get("judge_kind") == "gold" or candidate.get("decided_by") == "people":
        return
    low, limit = candidate.get("judge_accuracy_low"), t["judge_accuracy_low_min"]
    yield measured(
        above("judge_accuracy", "lower bound of the judge's accuracy", low, limit), candidate, "judge_accuracy"
    )
    yield at_least(
        "judge_comparisons",
        "held-out comparisons that the judge was measured on",
        candidate.get("judge_comparisons"),
        t["judge_comparisons_min"],
    )
    yield _of_people(candidate, t["judge_people_min"])


def _of_people(candidate: Report, least: float) -> Reason:
    """Simulated annotators count, and the text says how many of the people they are."""
    simulated = candidate.get("judge_people_simulated")
    text = "people who made those comparisons"
    if isinstance(simulated, int) and simulated > 0:
        text = f"{text}, {simulated} of them simulated"
    return at_least("judge_people", text, candidate.get("judge_people"), least)
