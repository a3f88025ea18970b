"""Replies that were cut at the longest length: left out of a snapshot, and counted before one is frozen.

A reward model that learned from fragments judges whole replies by their length, and a policy that it trains learns to
stop early, or never.
"""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from feedback import trainable
from feedback.judgements.completion_sets import LEFT_OUT
from feedback.models import Completion, RankingTask

CUT = "length"
ENOUGH = 0.9
"""Share of replies that should end by themselves, at the length of ranking tasks, rollouts and evaluations."""
LOOKED_AT = 200
"""The newest ranked tasks, of which the share is counted."""


def keep_whole(line: dict[str, Any]) -> bool:
    """Takes the fragments out of a ranking's line. False where too few replies are left to compare."""
    if settings.FEEDBACK_FRAGMENTS:
        return True
    kept = [place for place, one in enumerate(line["completions"]) if one["finish_reason"] != CUT]
    line |= {
        "completions": [line["completions"][place] for place in kept],
        "ranks": [line["ranks"][place] for place in kept],
        "shown": [kept.index(place) for place in line["shown"] if place in kept],
        "policies": [line["policies"][place] for place in kept],
    }
    if "margins" in line:
        both = [one for one in line["margins"] if one[0] in kept and one[1] in kept]
        line["margins"] = [[kept.index(better), kept.index(worse), margin] for better, worse, margin in both]
    return len(kept) > 1


def are_whole(*finish_reasons: str) -> bool:
    return settings.FEEDBACK_FRAGMENTS or CUT not in finish_reasons


@dataclass(frozen=True)
class WholeShare:
    """Of the replies that were made for the newest ranked tasks, offered or not."""

    whole: int
    cut: int

    @property
    def share(self) -> float | None:
        made = self.whole + self.cut
        return self.whole / made if made else None

    @property
    def warning(self) -> str:
        """What to change where too many were cut; else empty."""
        if self.share is None or self.share >= ENOUGH or settings.FEEDBACK_FRAGMENTS:
            return ""
        return _(
            "Only %(percent)s %% of the replies made for ranking ended by themselves within %(tokens)s tokens; at "
            "least %(enough)s %% should, or training teaches lengths. Raise CHAMSAE_MAX_COMPLETION_TOKENS or ask for "
            "shorter answers in the instructions to the model (site settings). Replies that were cut are left out."
        ) % {
            "percent": int(100 * self.share),
            "tokens": settings.FEEDBACK_COMPLETION_TOKENS,
            "enough": round(100 * ENOUGH),
        }


def count() -> WholeShare:
    ranked = trainable.rankings().filter(imported=None).order_by("-pk").values_list("task", flat=True)[:LOOKED_AT]
    tasks = RankingTask.objects.filter(pk__in=list(ranked), blind_pair=None)
    whole = cut = 0
    rows = Completion.objects.filter(task__in=tasks).values_list("finish_reason", "index", f"parameters__{LEFT_OUT}")
    for reason, index, left_out in rows:
        whole, cut = (whole, cut + 1) if reason == CUT else (whole + 1, cut)
        cut += int(left_out or 0) if index == 0 else 0
    return WholeShare(whole, cut)
