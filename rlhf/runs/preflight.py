"""Checks before a cycle: how much feedback there is, how long it may take, and what prevents a start."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from django.conf import settings

from chat import policies
from chat.errors import NoLivePolicy
from feedback import trainable
from feedback.models import Prompt
from rlhf import served_elsewhere
from rlhf.errors import NotEnoughFeedback, RlhfError
from rlhf.models import Run
from rlhf.runs import cycle, judge_material, requirements, violation_labels
from rlhf.runs.judge_material import JudgeMaterial
from rlhf.runs.requirements import Wish
from rlhf.snapshots import fragments, freezing

MINUTES_BASE, MINUTES_A_RANKING = 6.0, 0.02
"""Measured on two cores with a policy of 135M parameters; replaced by this site's own cycles once there are some."""


@dataclass(frozen=True)
class Preflight:
    train: int
    held_out: int
    flags: int
    simulated: int
    imported: int
    """Rankings that people made elsewhere."""
    fresh: int
    needed: int
    after: int
    """Fresh rankings at which a cycle starts by itself; 0: never."""
    minutes: int
    judge: JudgeMaterial
    refusals: list[str] = field(default_factory=list)
    uncounted: list[str] = field(default_factory=list)
    """Rules whose violations the gate will not count, in a sentence."""
    cut: str = ""
    """That too few replies end by themselves, and what to change; a cycle may start all the same."""
    judge_shortage: str = ""
    """Why the gate would refuse whatever is trained now, for want of a judge or of judged violations; an admin may
    start all the same."""

    @property
    def can_start(self) -> bool:
        return not self.refusals and not self.judge_shortage

    @property
    def can_start_anyway(self) -> bool:
        return not self.refusals and bool(self.judge_shortage)

    def as_json(self) -> dict[str, Any]:
        """For programs: whether a cycle can start, all that keeps it from that, and what it would train on."""
        return {"can_start": self.can_start, "can_start_anyway": self.can_start_anyway, **asdict(self)}

    @property
    def missing(self) -> int:
        return max(0, self.after - self.fresh)


def check(algorithm: str = "ppo", hyperparameters: Mapping[str, Any] | None = None) -> Preflight:
    """Of a cycle that somebody may want to start; `hyperparameters` by stage."""
    rankings, choices = trainable.rankings(), trainable.comparisons()
    train, held_out = (freezing.rankings_now(split) for split in (Prompt.Split.TRAIN, Prompt.Split.HELD_OUT))
    material = judge_material.count()
    shortage = judge_material.shortage(material) if train >= settings.RLHF_MINIMUM_RANKINGS and held_out else None
    is_gold = judge_material.gold_now() is not None
    counts = {} if is_gold else violation_labels.count()
    labels = [] if is_gold else violation_labels.missing(counts)
    simulated = rankings.filter(is_simulated=True).count() + choices.filter(is_simulated=True).count()
    return Preflight(
        train=train,
        held_out=held_out,
        flags=trainable.violations().filter(is_violation=True).count(),
        simulated=simulated,
        imported=rankings.exclude(imported=None).count(),
        fresh=freezing.fresh_rankings(),
        needed=settings.RLHF_MINIMUM_RANKINGS,
        after=settings.RLHF_CYCLE_AFTER,
        minutes=expected_minutes(train),
        judge=material,
        uncounted=violation_labels.warnings(counts),
        cut=fragments.count().warning,
        judge_shortage=" ".join([*([str(shortage)] if shortage else []), *labels]),
        refusals=[
            *_shortages(train, held_out, all_simulated=simulated == train + held_out),
            *_lacks(algorithm, hyperparameters or {}),
        ],
    )


def _shortages(train: int, held_out: int, *, all_simulated: bool) -> list[str]:
    needed = settings.RLHF_MINIMUM_RANKINGS
    if train < needed:
        return [str(NotEnoughFeedback(train, needed))]
    if not held_out and not all_simulated:
        return [str(NotEnoughFeedback(train, needed, split="held_out"))]
    return []


def _lacks(algorithm: str, hyperparameters: Mapping[str, Any]) -> list[str]:
    try:
        served_elsewhere.refuse()
        cycle.refuse_second_cycle()
        found = requirements.missing(Wish(policies.live(), algorithm, hyperparameters))
    except (RlhfError, NoLivePolicy) as error:
        found = [error]
    return list(map(requirements.text_of, found))


def expected_minutes(rankings: int) -> int:
    done = Run.objects.filter(kind=Run.Kind.CYCLE, state=Run.State.SUCCEEDED)[:3]
    seconds = [float(run.result["seconds"]) for run in done if run.result.get("seconds")]
    if seconds:
        return max(1, round(sum(seconds) / len(seconds) / 60))
    return round(MINUTES_BASE + MINUTES_A_RANKING * rankings)
