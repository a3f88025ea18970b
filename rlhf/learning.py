"""How far the site is on the way to its next policy, for the chat's home page, and the loop's figures for anybody."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Max

from accounts.models import User
from base.shared_cache import in_cache
from feedback.models import Comparison, Ranking
from rlhf.models import Promotion, Run
from rlhf.runs import cycle, preflight
from rlhf.snapshots import freezing

KEPT_S = 60
"""A count is kept for this long, and until there is a new judgement or cycle. What is withdrawn shows after it."""


@dataclass(frozen=True)
class LearningState:
    """What the chat's home page says about the next policy."""

    fresh: int
    """Judgements that count towards the next cycle (rlhf.snapshots.freezing.fresh_rankings)."""
    mine: int
    after: int
    """At how many a cycle starts by itself; 0: an admin starts each."""
    is_held_up: bool
    """Enough was judged, but something prevents the start; the training page says what."""
    running: Run | None

    @property
    def is_training(self) -> bool:
        return self.running is not None and not self.running.is_waiting

    @property
    def is_due(self) -> bool:
        return bool(self.after) and self.fresh >= self.after

    @property
    def shown(self) -> int:
        """For the bar, which ends at `after`."""
        return min(self.fresh, self.after)

    @property
    def missing(self) -> int:
        return max(0, self.after - self.fresh)


def state_for(person: User) -> LearningState:
    running, after = cycle.live_cycle(), settings.RLHF_CYCLE_AFTER
    if running is not None:
        return LearningState(fresh=0, mine=0, after=after, is_held_up=False, running=running)
    fresh = _kept("fresh", freezing.fresh_rankings)
    is_due = bool(after) and fresh >= after
    return LearningState(
        fresh=fresh,
        mine=freezing.fresh_rankings(person) if fresh else 0,
        after=after,
        is_held_up=is_due and _kept("held-up", _is_held_up),
        running=None,
    )


def _is_held_up() -> bool:
    return not preflight.check().can_start


@dataclass(frozen=True)
class LoopFigures:
    """Totals that anybody may see."""

    judgements: int
    """Rankings and choices in the chat that people made here; none of programs, and none that were imported."""
    policies: int
    """Promoted, by the gate or by force."""
    newest_at: datetime | None
    """When the last of them was."""


def loop_figures() -> LoopFigures:
    return LoopFigures(**_kept("figures", _count_loop))


def _count_loop() -> Mapping[str, Any]:
    counted = {"withdrawn_at": None, "is_simulated": False, "annotator__is_imported": False}
    promoted = Promotion.objects.filter(kind__in=(Promotion.Kind.GATE, Promotion.Kind.FORCED))
    return {
        "judgements": sum(rows.filter(**counted).count() for rows in (Ranking.objects, Comparison.objects)),
        "policies": promoted.values("policy").distinct().order_by().count(),
        "newest_at": promoted.aggregate(newest=Max("created_at"))["newest"],
    }


def _kept(name: str, compute: Any) -> Any:
    """From the cache, which keeps the value under the newest judgement, cycle and promotion: a new one is counted."""
    newest = [_newest(rows) for rows in (Ranking.objects, Comparison.objects, Promotion.objects)]
    newest.append(_newest(Run.objects.filter(kind=Run.Kind.CYCLE)))
    key = f"rlhf.learning.{name}.{'.'.join(map(str, newest))}"
    value = in_cache(lambda cache: cache.get(key))
    if value is None:
        value = compute()
        in_cache(lambda cache: cache.set(key, value, KEPT_S))
    return value


def _newest(rows: Any) -> int:
    return rows.aggregate(newest=Max("pk"))["newest"] or 0
