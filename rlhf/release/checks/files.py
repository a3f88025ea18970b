"""Whether the candidate's files are sound, and the policy that it was compared with still the live one."""

from collections.abc import Iterator

from rlhf.release.checks.reason import Reason, Report, Thresholds, at_most, is_true


def check(candidate: Report, live: Report | None, t: Thresholds) -> Iterator[Reason]:
    yield at_most(
        "served",
        "KL of the file that answers people from the trained weights, nats a token",
        candidate.get("served_kl_nats"),
        t["served_kl_nats_max"],
    )
    yield is_true("finite", "all tensors finite", candidate.get("tensors_finite"))
    yield is_true("baseline", "compared with the policy that is live now", candidate.get("baseline_is_live"))
