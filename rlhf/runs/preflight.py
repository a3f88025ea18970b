"""Checks before a cycle: how much feedback there is, how long it may take, and what prevents a start."""

from dataclasses import dataclass, field

from django.conf import settings
from django.utils.translation import gettext as _

from chat import policies
from chat.errors import BadPolicy, NoLivePolicy
from feedback import trainable
from feedback.models import Prompt
from rlhf.errors import NotEnoughFeedback, RlhfError
from rlhf.models import Run
from rlhf.runs import cycle, judge_material, violation_labels
from rlhf.runs.judge_material import JudgeMaterial
from rlhf.snapshots import freezing

MINUTES_BASE, MINUTES_A_RANKING = 6.0, 0.02
"""Measured on two cores with a policy of 135M parameters; replaced by this site's own cycles once there are some."""


@dataclass(frozen=True)
class Preflight:
    train: int
    held_out: int
    flags: int
    simulated: int
    fresh: int
    needed: int
    after: int
    """Fresh rankings at which a cycle starts by itself; 0: never."""
    minutes: int
    judge: JudgeMaterial
    refusals: list[str] = field(default_factory=list)
    uncounted: list[str] = field(default_factory=list)
    """Rules whose violations the gate will not count, in a sentence."""
    judge_shortage: str = ""
    """Why the gate would refuse whatever is trained now, for want of a judge or of judged violations; an admin may
    start all the same."""

    @property
    def can_start(self) -> bool:
        return not self.refusals and not self.judge_shortage

    @property
    def can_start_anyway(self) -> bool:
        return not self.refusals and bool(self.judge_shortage)

    @property
    def missing(self) -> int:
        return max(0, self.after - self.fresh)


def check() -> Preflight:
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
        fresh=freezing.fresh_rankings(),
        needed=settings.RLHF_MINIMUM_RANKINGS,
        after=settings.RLHF_CYCLE_AFTER,
        minutes=expected_minutes(train),
        judge=material,
        uncounted=violation_labels.warnings(counts),
        judge_shortage=" ".join([*([str(shortage)] if shortage else []), *labels]),
        refusals=_refusals(train, held_out, all_simulated=simulated == train + held_out),
    )


def _refusals(train: int, held_out: int, *, all_simulated: bool) -> list[str]:
    found = []
    needed = settings.RLHF_MINIMUM_RANKINGS
    if train < needed:
        found.append(str(NotEnoughFeedback(train, needed)))
    elif not held_out and not all_simulated:
        found.append(str(NotEnoughFeedback(train, needed, split="held_out")))
    try:
        cycle.refuse_second_cycle()
        live = policies.live()
        cycle.refuse_full_disk(live)
        cycle.refuse_lost_anchor(live)
    except RlhfError as error:
        found.append(str(error))
    except (NoLivePolicy, BadPolicy) as error:
        found.append(str(error.message))
    except OSError as error:
        found.append(_("The live policy's files can't be read: %(error)s") % {"error": error})
    return found


def expected_minutes(rankings: int) -> int:
    done = Run.objects.filter(kind=Run.Kind.CYCLE, state=Run.State.SUCCEEDED)[:3]
    seconds = [float(run.result["seconds"]) for run in done if run.result.get("seconds")]
    if seconds:
        return max(1, round(sum(seconds) / len(seconds) / 60))
    return round(MINUTES_BASE + MINUTES_A_RANKING * rankings)
