"""How far the candidate went from the policy that its training started from, and from the original base.

What a reader of it must bear has one limit, however many cycles led there; KL may grow with them.
"""

from collections.abc import Iterator

from rlhf.release.checks.reason import Reason, Report, Thresholds, at_least, at_most


def check(candidate: Report, live: Report | None, t: Thresholds) -> Iterator[Reason]:
    yield at_most("kl", "KL from the start, nats a reply", candidate.get("kl_nats"), t["kl_nats_max"])
    length = candidate.get("length_ratio")
    yield at_least("too_short", "length against the live policy", length, t["length_ratio_min"])
    yield at_most("too_long", "length against the live policy", length, t["length_ratio_max"])
    yield at_most(
        "perplexity",
        "perplexity of human text, against before",
        candidate.get("perplexity_ratio"),
        t["perplexity_ratio_max"],
    )
    # The default, 1.3, lies between figures seen: 1.0 of the base itself, 1.04 to 1.13 of good ones (KL 4 to 6.6),
    # 1.2 of a change doubled (KL 9: curt, but English), 1.4 of it tripled (KL 11: made-up words).
    yield at_most(
        "surprise",
        "the base's surprise at a token of a reply, against its surprise at its own replies",
        candidate.get("surprise_ratio"),
        t["surprise_ratio_max"],
    )
    if candidate.get("anchor_is_start") is not True:
        yield from _from_anchor(candidate, t)


def _from_anchor(candidate: Report, t: Thresholds) -> Iterator[Reason]:
    kl, length = candidate.get("anchor_kl_nats"), candidate.get("anchor_length_ratio")
    yield at_most("anchor_kl", "KL from the original base, nats a reply", kl, t["anchor_kl_nats_max"])
    yield at_least("anchor_too_short", "length against the original base", length, t["length_ratio_min"])
    yield at_most("anchor_too_long", "length against the original base", length, t["length_ratio_max"])
    yield at_most(
        "anchor_perplexity",
        "perplexity of human text, against the original base",
        candidate.get("anchor_perplexity_ratio"),
        t["perplexity_ratio_max"],
    )
    yield at_most(
        "anchor_surprise",
        "the original base's surprise at a token of a reply, against its surprise at its own replies",
        candidate.get("anchor_surprise_ratio"),
        t["surprise_ratio_max"],
    )
